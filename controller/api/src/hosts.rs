//! Under which names a program is reached. A page in a browser that was loaded from another name and made that name stand
//! for our address (DNS rebinding) counts as our own page to the browser; what it cannot do is to send one of our names as
//! Host. Addresses are let through: no such name is one. Pure.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest host name, bytes.
const LONGEST: usize = 253;

/// The names of a program, beside those that always mean this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnHosts(BTreeSet<String>);

impl OwnHosts {
    /// These, without regard to case. Empty ones are left out.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let names = names.into_iter().map(|name| plain(name.as_ref().trim()));
        Self(names.filter(|name| !name.is_empty()).collect())
    }

    /// Whether a request's Host (a name or an address, perhaps with a port) is ours: an address, `localhost` and names
    /// below it, or one of these.
    pub fn takes(&self, host: &str) -> bool {
        if let Some(rest) = host.strip_prefix('[') {
            return rest
                .split_once(']')
                .is_some_and(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && is_port(port));
        }
        let (name, port) = match host.find(':') {
            Some(colon) => host.split_at(colon),
            None => (host, ""),
        };
        let name = plain(name);
        let ours = name.parse::<Ipv4Addr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.0.contains(&name);
        ours && is_port(port)
    }
}

/// One name of a setting that lists them; nothing is left out of the list.
pub fn public_host(text: &str) -> Result<String, String> {
    let name = plain(text.trim());
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.len() <= LONGEST && name.chars().all(sound) {
        return Ok(name);
    }
    Err(format!(
        "{text:?} is no host name: use one such as ops.example.org, without a scheme, a port or '*'"
    ))
}

/// In small letters, and without the dot that may end a name.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Nothing, or a colon and a number.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_of_this_machine_and_those_that_are_named_are_ours() {
        let own = OwnHosts::new(["Ops.example.org", "", "aegis-agent"]);
        for ours in [
            "127.0.0.1",
            "127.0.0.1:8001",
            "10.1.2.3",
            "[::1]:8001",
            "[fd00::1]",
            "localhost",
            "LOCALHOST:80",
            "localhost.",
            "cockpit.localhost:3000",
            "ops.EXAMPLE.org:443",
            "ops.example.org.",
            "aegis-agent:8001",
        ] {
            assert!(own.takes(ours), "{ours}");
        }
        for other in [
            "",
            ":8001",
            "evil.example",
            "ops.example.org.evil.example",
            "xops.example.org",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "me@localhost",
            "localhost:80@evil.example",
            "[::1",
            "[::1].evil.example",
            "::1",
            "127.0.0.1:80.evil.example",
        ] {
            assert!(!own.takes(other), "{other}");
        }
    }

    #[test]
    fn a_setting_takes_names_alone() {
        assert_eq!(public_host(" Ops.example.org. ").unwrap(), "ops.example.org");
        assert_eq!(public_host("").unwrap(), "");
        for wrong in ["https://a", "a:80", "*.example.org", "a b", &"a".repeat(300)] {
            let error = public_host(wrong).unwrap_err();
            assert!(error.contains("is no host name"), "{error}");
        }
    }
}
