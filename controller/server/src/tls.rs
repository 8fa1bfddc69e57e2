//! TLS of this server's own: a certificate and its key, from files that may be replaced while it runs, or made here.
//! Does I/O.

use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aegis_api::error::chain;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::auth::private_file::write_text;

/// The largest file of certificates or keys, bytes.
const LARGEST: u64 = 1 << 20;
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Years for which a certificate that is made here is good: people confirm it by its fingerprint, which a new one changes.
const YEARS: i32 = 10;
/// How the names of a certificate that was made here stand in its file.
const NAMES: &str = "# names: ";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A file is too large to be what it should be.
    #[error("{} is larger than {LARGEST} bytes", path.display())]
    Large { path: PathBuf },
    /// A file holds no certificate.
    #[error("{} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate { path: PathBuf },
    /// A file holds no private key.
    #[error("{} holds no private key in PEM form without a password (-----BEGIN PRIVATE KEY-----)", path.display())]
    NoKey { path: PathBuf, source: pem::Error },
    /// They do not belong together, or are of a kind that is not supported.
    #[error("the certificate in {} and the key in {} cannot be used", cert.display(), key.display())]
    Unusable {
        cert: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
    /// None could be made.
    #[error("no certificate can be made for {names}")]
    Make { names: String, source: rcgen::Error },
    /// What was made cannot be kept.
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// The TLS library has none of the versions of TLS.
    #[error("TLS cannot be set up")]
    Versions(#[source] rustls::Error),
}

/// What this server proves itself with. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    cert: PathBuf,
    key: PathBuf,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("cert", &self.cert)
            .finish_non_exhaustive()
    }
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Loaded>);

#[derive(Debug, Clone)]
struct Loaded {
    pair: Arc<CertifiedKey>,
    /// The files that were read last, whether or not they could be used.
    seen: Stamps,
}

/// What tells that a file is another one: of the certificate's and the key's.
type Stamps = [Option<(u64, u64, i64, i64)>; 2];

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.read().pair))
    }
}

impl Current {
    fn read(&self) -> Loaded {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Loaded)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Tls {
    /// From the files of a certificate chain and of its key, both PEM; one file may hold both.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let seen = stamps(cert, key);
        let pair = Arc::new(read_pair(cert, key)?);
        let current = Arc::new(Current(RwLock::new(Loaded { pair, seen })));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&current);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            current,
            cert: cert.to_owned(),
            key: key.to_owned(),
        })
    }

    /// With a certificate that is made once and kept in `folder` (mode 0700): `server.pem` is it and its key, `cert.pem` what
    /// clients may be given. Other names than it has make another one.
    pub fn generated(folder: &Path, names: &[String]) -> Result<Self, TlsError> {
        let pair = folder.join("server.pem");
        let header = format!("{NAMES}{}\n", names.join(", "));
        let known = match std::fs::read_to_string(&pair) {
            Ok(text) => text.starts_with(&header),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(source) => return Err(TlsError::Read { path: pair, source }),
        };
        if !known {
            let make = |source| TlsError::Make {
                names: names.join(", "),
                source,
            };
            let (cert, key) = make_pair(names).map_err(make)?;
            // In one file, so that they always belong together; the other one is what it says.
            write(&pair, &format!("{header}{cert}{key}"))?;
        }
        let tls = Self::from_files(&pair, &pair)?;
        let leaf = tls.current.read().pair.cert.first().map(|der| armoured(der));
        write(&folder.join("cert.pem"), &leaf.unwrap_or_default())?;
        Ok(tls)
    }

    /// SHA-256 of the certificate in force, as browsers and `openssl x509 -fingerprint -sha256` show it.
    pub fn fingerprint(&self) -> String {
        let pair = self.current.read().pair;
        let digest = pair.cert.first().map(Sha256::digest).unwrap_or_default();
        let mut text = String::new();
        for byte in digest {
            let colon = if text.is_empty() { "" } else { ":" };
            // Writing to a String cannot fail.
            write!(text, "{colon}{byte:02X}").unwrap_or_default();
        }
        text
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Takes over what the files hold whenever they change; runs until it is dropped. What cannot be used leaves the last
    /// certificate in force, and is logged once: a certificate and its key are seldom replaced in the same moment.
    pub async fn keep_up(self) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            let tls = self.clone();
            match aegis_runtime::offload::offload(move || tls.reload()).await {
                Ok(Ok(true)) => tracing::info!(
                    fingerprint = self.fingerprint(),
                    "the TLS certificate {} was replaced",
                    self.cert.display()
                ),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = chain(&error), "the last TLS certificate stays in force");
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "the TLS certificate cannot be looked at");
                }
            }
        }
    }

    /// Whether there was another certificate to take over.
    fn reload(&self) -> Result<bool, TlsError> {
        // Before they are read: what changes meanwhile is read again.
        let seen = stamps(&self.cert, &self.key);
        if self.current.read().seen == seen {
            return Ok(false);
        }
        self.current.change(|loaded| loaded.seen = seen);
        let pair = Arc::new(read_pair(&self.cert, &self.key)?);
        let is_new = self.current.read().pair.cert != pair.cert;
        self.current.change(|loaded| loaded.pair = pair);
        Ok(is_new)
    }
}

fn stamps(cert: &Path, key: &Path) -> Stamps {
    [cert, key].map(|path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    })
}

fn read_pair(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let (chain, secret) = (read(cert)?, read(key)?);
    let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
        CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| TlsError::NoCertificate {
        path: cert.to_owned(),
    })?;
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|source| TlsError::NoKey {
        path: key.to_owned(),
        source,
    })?;
    let pair = CertifiedKey::from_der(chain, secret, &ring::default_provider());
    pair.map_err(|source| TlsError::Unusable {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= LARGEST => Ok(bytes),
        _ => Err(TlsError::Large {
            path: path.to_owned(),
        }),
    }
}

/// A certificate that vouches for itself, and its key, both PEM.
fn make_pair(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(names)?;
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(rcgen::DnType::CommonName, "AegisOps");
    params.distinguished_name = subject;
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    // From last year on, for clocks that are behind.
    let year = i32::from(aegis_clock::timestamp().to_zoned(TimeZone::UTC).year());
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + YEARS, 1, 1);
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// A certificate as PEM.
fn armoured(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut lines = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines + "-----END CERTIFICATE-----\n"
}

/// For this controller's eyes alone, from the first byte on.
fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    write_text(path, text).map_err(|source| TlsError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_certificate_is_made_once_and_again_only_for_other_names_and_its_key_is_its_owners_alone() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join(".secrets/tls");
        let make = |list: &[&str]| Tls::generated(&folder, &names(list)).unwrap().fingerprint();
        let first = make(&["localhost", "127.0.0.1"]);
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(make(&["localhost", "127.0.0.1"]), first);
        assert_ne!(make(&["localhost", "ops.example.org"]), first);
        for file in ["server.pem", "cert.pem"] {
            let mode = std::fs::metadata(folder.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let shown = std::fs::read_to_string(folder.join("cert.pem")).unwrap();
        assert!(
            shown.contains("CERTIFICATE") && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }

    #[test]
    fn what_cannot_be_used_leaves_the_last_certificate_in_force_and_a_whole_pair_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let put = |path: &Path, text: &str| write(path, text).unwrap();
        let (one, two) = (
            make_pair(&names(&["a"])).unwrap(),
            make_pair(&names(&["b"])).unwrap(),
        );
        put(&cert, &one.0);
        put(&key, &one.1);
        let tls = Tls::from_files(&cert, &key).unwrap();
        let before = tls.fingerprint();
        assert!(!tls.reload().unwrap(), "nothing has changed");
        put(&cert, &two.0);
        assert!(
            matches!(tls.reload(), Err(TlsError::Unusable { .. })),
            "half a pair"
        );
        assert!(!tls.reload().unwrap(), "that is said once");
        assert_eq!(tls.fingerprint(), before);
        std::fs::remove_file(&key).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Read { .. })));
        put(&key, &two.1);
        assert!(tls.reload().unwrap());
        assert_ne!(tls.fingerprint(), before);
    }

    #[test]
    fn an_error_names_the_file_and_what_it_should_hold() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let said = || chain(&Tls::from_files(&cert, &key).unwrap_err());
        assert!(said().contains("tls.crt"), "{}", said());
        let (pem, secret) = make_pair(&names(&["a"])).unwrap();
        write(&cert, "nothing").unwrap();
        write(&key, "nothing").unwrap();
        assert!(
            said().contains("tls.crt holds no certificate in PEM form"),
            "{}",
            said()
        );
        write(&cert, &pem).unwrap();
        assert!(said().contains("tls.key holds no private key"), "{}", said());
        write(&key, &secret.repeat(20_000)).unwrap();
        assert!(
            said().contains("tls.key is larger than 1048576 bytes"),
            "{}",
            said()
        );
    }
}
