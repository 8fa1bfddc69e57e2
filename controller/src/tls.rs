//! Whether the controller may listen where it is to, and with which certificate. Reads and writes the certificate's files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aegis_server::Tls;
use anyhow::ensure;

/// HTTPS instead of HTTP.
#[derive(Debug, clap::Args)]
pub(crate) struct TlsArgs {
    /// Serve HTTPS with the certificate chain in this file (PEM). Read again when it changes.
    #[arg(long, env = "AEGIS_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// File of its private key (PEM, without a password).
    #[arg(long, env = "AEGIS_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve HTTPS with a certificate that is made once and kept in the state directory; its fingerprint is logged.
    #[arg(long, env = "AEGIS_TLS", value_name = "generate", conflicts_with = "tls_cert")]
    tls: Option<Source>,
    /// Names and addresses that it is for, beside this machine's own name, localhost and the address to serve on.
    #[arg(long, env = "AEGIS_TLS_NAMES", value_delimiter = ',', value_name = "NAMES")]
    tls_names: Vec<String>,
    /// Serve HTTP, unencrypted, on other addresses than this machine's own: the network is trusted, or something before the
    /// controller encrypts.
    #[arg(long, env = "AEGIS_INSECURE", default_value_t = false, num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    insecure: bool,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Source {
    /// One is made.
    Generate,
}

impl TlsArgs {
    /// Whether it is HTTPS that is served.
    pub(crate) fn is_on(&self) -> bool {
        self.tls.is_some() || self.tls_cert.is_some()
    }

    /// Refuses to send tokens over a network unencrypted.
    pub(crate) fn check(&self, listen: SocketAddr) -> anyhow::Result<()> {
        ensure!(
            self.is_on() || self.insecure || listen.ip().to_canonical().is_loopback(),
            "refusing to listen on {listen} without TLS: others on the network could read tokens, cookies and what is \
             answered. Have a certificate made (--tls generate), give one (--tls-cert FILE --tls-key FILE), listen on \
             127.0.0.1 behind a reverse proxy with TLS, or say that the network is trusted (--insecure, AEGIS_INSECURE=true)"
        );
        Ok(())
    }

    /// The certificate, made if that is what the arguments say; `None` for HTTP.
    pub(crate) fn open(&self, listen: SocketAddr, state_dir: &Path) -> anyhow::Result<Option<Tls>> {
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            return Ok(Some(Tls::from_files(cert, key)?));
        }
        let Some(Source::Generate) = self.tls else {
            return Ok(None);
        };
        let folder = state_dir.join(".secrets").join("tls");
        Ok(Some(Tls::generated(&folder, &self.names(listen))?))
    }

    /// What a certificate of our own is for, each once.
    fn names(&self, listen: SocketAddr) -> Vec<String> {
        let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let own = (!listen.ip().is_unspecified()).then(|| listen.ip().to_string());
        let given = self.tls_names.iter().cloned();
        for name in [host].into_iter().chain(own).chain(given) {
            let name = name.trim().to_owned();
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}
