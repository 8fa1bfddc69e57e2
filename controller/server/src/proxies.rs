//! Whose word counts about where a request comes from. `X-Forwarded-*` is written by the sender, so it is read only
//! on connections from the proxies that the configuration names. Owns the addresses that their names stand for, which
//! [`TrustedProxies::refresh`] looks up; nothing else here does I/O.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::serve::Peer;

/// How often names are looked up again: a proxy that is replaced has another address.
const EVERY: Duration = Duration::from_secs(5);
/// Most addresses of an `X-Forwarded-For` that are gone through.
const HOPS: usize = 16;

/// A proxy, or a network of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Every address of this network; a single address is a network of one.
    Network(IpNet),
    /// What this name stands for, such as a container's.
    Name(String),
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let refused =
            || format!("{text:?} is no proxy: use an address, a network such as 10.0.0.0/8, or a host name");
        let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse());
        if let Ok(network) = network {
            return Ok(Self::Network(network));
        }
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        // What is all digits and dots was meant as an address.
        let named = text.chars().any(|c| c.is_ascii_alphabetic());
        let fits = text.len() <= 253 && text.chars().all(sound) && named;
        fits.then(|| Self::Name(text.to_owned())).ok_or_else(refused)
    }
}

impl TrustedProxy {
    fn holds(&self, peer: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(&peer),
            Self::Name(_) => false,
        }
    }
}

/// The proxies that the configuration names. Clones share what their names stand for.
#[derive(Clone, Default)]
pub struct TrustedProxies {
    named: Arc<[TrustedProxy]>,
    /// Networks on which none is, whatever their names stand for.
    apart: Arc<[IpNet]>,
    found: Arc<RwLock<Vec<IpAddr>>>,
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustedProxies").field(&self.named).finish()
    }
}

impl From<Vec<TrustedProxy>> for TrustedProxies {
    fn from(named: Vec<TrustedProxy>) -> Self {
        Self {
            named: named.into(),
            apart: Arc::default(),
            found: Arc::default(),
        }
    }
}

impl TrustedProxies {
    /// The same, but for what is on these networks: a container may take any name there that none has yet, such as a
    /// proxy's that is being replaced.
    #[must_use]
    pub fn apart_from(self, networks: &[IpNet]) -> Self {
        Self {
            apart: networks.into(),
            ..self
        }
    }

    /// Looks names up, again and again, until the process ends. Returns at once where there are none.
    pub async fn keep_up(&self) {
        let names = || {
            self.named
                .iter()
                .any(|proxy| matches!(proxy, TrustedProxy::Name(_)))
        };
        while names() {
            self.refresh().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Looks names up. One that stands for nothing now is no proxy now.
    pub async fn refresh(&self) {
        let mut found = Vec::new();
        for proxy in &*self.named {
            if let TrustedProxy::Name(name) = proxy
                && let Ok(addresses) = tokio::net::lookup_host((name.as_str(), 0)).await
            {
                found.extend(addresses.map(|address| address.ip().to_canonical()));
            }
        }
        *self.found.write().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn trust(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        if self.apart.iter().any(|network| network.contains(&peer)) {
            return false;
        }
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        self.named.iter().any(|proxy| proxy.holds(peer)) || found.contains(&peer)
    }

    /// What a proxy says about a request; nothing where no trusted one sent it.
    pub(crate) fn said<'a>(&self, peer: Option<Peer>, headers: &'a HeaderMap) -> Forwarded<'a> {
        let trusted = peer.is_some_and(|Peer(peer)| self.trust(peer.ip()));
        Forwarded {
            headers: trusted.then_some(headers),
        }
    }

    /// Where a request comes from: its peer, or whom trusted proxies passed it on for. The list grows to the right, so
    /// what stands left of the first address that is no trusted proxy was written by the client.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trust(peer) {
            return peer;
        }
        let values = headers.get_all("x-forwarded-for").iter().rev();
        let hops = values.filter_map(|value| value.to_str().ok());
        let hops = hops.flat_map(|value| value.rsplit(',')).take(HOPS);
        let mut client = peer;
        for hop in hops.map_while(|hop| hop.trim().parse::<IpAddr>().ok()) {
            client = hop.to_canonical();
            if !self.trust(client) {
                break;
            }
        }
        client
    }
}

/// What a trusted proxy says about a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forwarded<'a> {
    headers: Option<&'a HeaderMap>,
}

impl<'a> Forwarded<'a> {
    /// Whether the browser speaks TLS.
    pub(crate) fn is_https(self) -> bool {
        self.value("x-forwarded-proto")
            .is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
    }

    /// The host that the browser requested.
    pub(crate) fn host(self) -> Option<&'a str> {
        self.value("x-forwarded-host")
    }

    fn value(self, name: &str) -> Option<&'a str> {
        let value = self.headers?.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn proxies(named: &[&str]) -> TrustedProxies {
        let named: Vec<TrustedProxy> = named.iter().map(|text| text.parse().unwrap()).collect();
        named.into()
    }

    fn from(list: &str) -> HeaderMap {
        HeaderMap::from_iter([("x-forwarded-for".parse().unwrap(), list.parse().unwrap())])
    }

    #[test]
    fn only_a_configured_proxy_is_believed_whom_it_speaks_for() {
        let none = TrustedProxies::default();
        let headers = from("198.51.100.9, 203.0.113.5");
        for peer in ["127.0.0.1", "172.18.0.1", "10.1.2.3", "198.51.100.1"] {
            assert_eq!(none.client(ip(peer), &headers), ip(peer), "{peer}");
        }
        let some = proxies(&["172.18.0.4"]);
        assert_eq!(some.client(ip("172.18.0.4"), &headers), ip("203.0.113.5"));
        assert_eq!(some.client(ip("172.18.0.1"), &headers), ip("172.18.0.1"));
        assert_eq!(some.client(ip("::ffff:172.18.0.4"), &headers), ip("203.0.113.5"));
        assert_eq!(some.client(ip("172.18.0.4"), &HeaderMap::new()), ip("172.18.0.4"));
    }

    #[test]
    fn what_a_client_writes_itself_is_not_taken_for_what_a_chain_of_proxies_says() {
        let chain = proxies(&["10.0.0.0/8"]);
        let headers = from("8.8.8.8, 203.0.113.5, 10.9.9.9");
        assert_eq!(chain.client(ip("10.0.0.1"), &headers), ip("203.0.113.5"));
        assert_eq!(
            chain.client(ip("10.0.0.1"), &from("8.8.8.8, nonsense")),
            ip("10.0.0.1")
        );
    }

    #[test]
    fn the_other_headers_count_no_more_than_that() {
        let headers = HeaderMap::from_iter([
            ("x-forwarded-proto".parse().unwrap(), "https".parse().unwrap()),
            (
                "x-forwarded-host".parse().unwrap(),
                "evil.example".parse().unwrap(),
            ),
        ]);
        let some = proxies(&["172.18.0.4/32"]);
        let peer = |text: &str| Some(Peer((ip(text), 1).into()));
        let trusted = some.said(peer("172.18.0.4"), &headers);
        assert_eq!((trusted.is_https(), trusted.host()), (true, Some("evil.example")));
        for other in [peer("172.18.0.5"), None] {
            let said = some.said(other, &headers);
            assert_eq!((said.is_https(), said.host()), (false, None));
        }
    }

    #[test]
    fn a_network_is_as_wide_as_it_says() {
        for (network, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.1", "10.2.0.1"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
        ] {
            let proxy: TrustedProxy = network.parse().unwrap();
            assert!(proxy.holds(ip(inside)) && !proxy.holds(ip(outside)), "{network}");
        }
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "a b",
            "::/129",
            "10.0.0.0/x",
            "name/8",
        ] {
            let error = wrong.parse::<TrustedProxy>().unwrap_err();
            assert!(error.contains("is no proxy: use an address"), "{wrong}: {error}");
        }
    }

    #[tokio::test]
    async fn what_takes_a_proxys_name_where_workloads_are_is_not_believed() {
        let named = proxies(&["localhost", "10.0.0.0/8"]).apart_from(&["127.0.0.0/8".parse().unwrap()]);
        named.refresh().await;
        assert!(!named.trust(ip("127.0.0.1")) && !named.trust(ip("::ffff:127.0.0.1")));
        assert!(named.trust(ip("10.0.0.1")));
        assert_eq!(
            named.client(ip("127.0.0.1"), &from("203.0.113.5")),
            ip("127.0.0.1")
        );
    }

    #[tokio::test]
    async fn a_name_stands_for_the_addresses_it_has_now() {
        let named = proxies(&["localhost"]);
        assert!(!named.trust(ip("127.0.0.1")), "not looked up yet");
        named.refresh().await;
        assert!(named.trust(ip("127.0.0.1")) || named.trust(ip("::1")));
        let gone = proxies(&["no-such-host.invalid"]);
        gone.refresh().await;
        assert!(!gone.trust(ip("127.0.0.1")));
    }
}
