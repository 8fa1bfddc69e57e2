//! Whom this client believes to be the controller: a certificate that it was given, or, on request, anyone. Reads a file.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::{Origin, Trust};
use crate::error::CliError;

/// The settings of connections; `None`: as this system does it.
pub(super) fn config(trust: &Trust) -> Result<Option<ClientConfig>, CliError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::Config(format!("TLS: {error}")))?;
    Ok(match trust {
        Trust::System => None,
        Trust::Only(path, origin) => {
            let roots = roots(path, origin)?;
            Some(builder.with_root_certificates(roots).with_no_client_auth())
        }
        Trust::Any => {
            let verifier = Arc::new(Anyone(provider));
            let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
            Some(builder.with_no_client_auth())
        }
    })
}

fn roots(path: &Path, origin: &Origin) -> Result<RootCertStore, CliError> {
    let refuse = |why: String| CliError::Config(format!("CA file {} (from {origin}): {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(&text) {
        let cert = cert.map_err(|error| refuse(error.to_string()))?;
        roots.add(cert).map_err(|error| refuse(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(refuse("it holds no certificate in PEM form".to_owned())),
        false => Ok(roots),
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
