//! What is asked of a container to learn whether it is well. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A GET of a container's own address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Where.
    pub address: SocketAddr,
    /// Path and query.
    pub path: String,
    /// What the Host header says; the address without it. Over TLS it is the server name (SNI), too.
    pub host: Option<String>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Over TLS. The certificate is not verified: it is the container at this very address that is asked, and none has a
    /// certificate for its address.
    pub tls: bool,
}

impl HttpRequest {
    /// A plain one.
    pub fn new(address: SocketAddr, path: impl Into<String>) -> Self {
        Self {
            address,
            path: path.into(),
            host: None,
            headers: BTreeMap::new(),
            tls: false,
        }
    }

    /// Human-readable: `GET https://10.0.0.2:8443/health`.
    pub fn words(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("GET {scheme}://{}{}", self.address, self.path)
    }
}
