//! What is asked of a container to learn whether it is well. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Why a probe failed, as far as it decides what can help. In the order of how much it tells: of several addresses of one
/// container the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failing {
    /// Nothing leads from here to that address: there is no route, or no connection came about in time.
    Unreachable,
    /// Nothing listens at that port.
    Refused,
    /// It took the connection, and did not answer in time.
    Silent,
    /// What came was no answer: cut off, or of another protocol.
    Broken,
    /// A command ended with this code.
    Exited(i64),
    /// An HTTP status that is not expected, or an expected one without the expected body.
    Answered(u16),
}

impl Failing {
    /// Whether the same container, started again, would answer the same: what was asked is wrong, or not meant for us.
    pub fn outlives_a_restart(self) -> bool {
        match self {
            // Not 408, 425 and 429: those pass.
            Self::Answered(status) => matches!(status, 400..=407 | 410 | 411 | 414 | 415 | 421 | 426 | 431),
            // The command is not in the image, or cannot be run.
            Self::Exited(code) => matches!(code, 126 | 127),
            Self::Unreachable => true,
            Self::Refused | Self::Silent | Self::Broken => false,
        }
    }
}

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
