//! How our programs speak HTTPS to others. Owns three rules: which cryptography, which certificates, and that no redirect is
//! followed. Knows no receiver and does no I/O; timeouts and bounds are the caller's.

use std::sync::Once;

use reqwest::{Certificate, Client, ClientBuilder};

/// What TLS is spoken with. Needed once before any of it, by those that do not begin with [`client_builder`].
pub fn install_crypto() {
    static CRYPTO: Once = Once::new();
    CRYPTO.call_once(|| {
        // An error means that one is installed already, which is as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap_or_default();
    });
}

/// A client that trusts what every browser trusts beside what the system does: an image without a file system of its own has
/// no certificates. A redirect could take a token, or what is sent, to another host: none is followed.
///
/// # Errors
///
/// A certificate that cannot be read; there is none.
pub fn client_builder() -> reqwest::Result<ClientBuilder> {
    install_crypto();
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<reqwest::Result<Vec<_>>>()?;
    let builder = Client::builder().tls_certs_merge(roots);
    Ok(builder.redirect(reqwest::redirect::Policy::none()))
}
