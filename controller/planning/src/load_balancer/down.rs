//! A configuration that nginx has served, without servers whose addresses are not theirs any more: each is marked `down`. For
//! when nothing better can be loaded: the template is broken, nginx refuses what it renders, or nginx does not run. Pure.
//!
//! nginx has accepted the lines around, so it accepts these; a location without any server left answers 502.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::membership::{DOWN, server_line};
use super::render::{NO_SERVER, Rendered};

/// The configuration without these servers; as it is where it has none of them.
pub fn without(good: &Rendered, addresses: &BTreeSet<&str>) -> Rendered {
    let without = |text| without_servers(text, addresses);
    let (text, stream) = (without(&good.text), good.stream.as_deref().map(without));
    if text == good.text && stream == good.stream {
        return good.clone();
    }
    let digest = Sha256::digest(format!("{text}{}", stream.as_deref().unwrap_or_default()));
    let revision: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Rendered {
        text: text.replace(&good.revision, &revision),
        revision,
        stream,
    }
}

/// One file of it without these servers.
pub(crate) fn without_servers(text: &str, addresses: &BTreeSet<&str>) -> String {
    let lines = text.split_inclusive('\n');
    lines.map(|line| marked(line, addresses)).collect()
}

/// Whether nginx may send anything to this address by a file of it.
pub(crate) fn names(text: &str, address: &str) -> bool {
    without_servers(text, &BTreeSet::from([address])) != text
}

fn marked(line: &str, addresses: &BTreeSet<&str>) -> String {
    match server_line(line) {
        Some((address, parameters)) => {
            let is_down = parameters.split_whitespace().any(|word| word == DOWN);
            if is_down || !addresses.contains(address) {
                return line.to_owned();
            }
            line.replacen(';', " down;", 1)
        }
        // A template may name an address elsewhere, such as in proxy_pass.
        None => addresses
            .iter()
            .fold(line.to_owned(), |line, address| replaced(&line, address)),
    }
}

/// The line with an address that stands by itself replaced by one where no process listens.
fn replaced(line: &str, address: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '[');
    let mut rest = line;
    let mut done = String::new();
    while let Some((before, after)) = rest.split_once(address) {
        let alone = !before.ends_with(is_part) && !after.starts_with(|c: char| c.is_ascii_digit());
        done.push_str(before);
        done.push_str(if alone { NO_SERVER } else { address });
        rest = after;
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "upstream web {\n    server 10.0.0.2:80 max_fails=2; # a\n    server 10.0.0.20:80;\n    \
                        server [fd00::2]:80;\n}\nlocation /x { proxy_pass http://10.0.0.2:80; }\n\
                        location /y { proxy_pass http://110.0.0.2:80; proxy_pass http://10.0.0.2:8000; }\nreturn 200 \"r1\";\n";

    fn good() -> Rendered {
        Rendered {
            revision: "r1".to_owned(),
            text: TEXT.to_owned(),
            stream: None,
        }
    }

    #[test]
    fn i8_servers_of_tcp_are_marked_down_with_the_others_and_nginx_is_to_load_it() {
        let tcp = "upstream db {\n    server 10.0.0.3:5432; # a\n}\n";
        let good = Rendered {
            stream: Some(tcp.to_owned()),
            ..good()
        };
        let after = without(&good, &["10.0.0.3:5432"].into());
        assert_eq!(after.stream.unwrap(), tcp.replace("5432;", "5432 down;"));
        assert_ne!(after.revision, good.revision);
        assert_eq!(after.text, good.text.replace("r1", &after.revision));
    }

    #[test]
    fn i8_only_the_servers_that_are_meant_are_marked_down_and_the_rest_stays_as_it_was() {
        let after = without(&good(), &["10.0.0.2:80", "[fd00::2]:80"].into());
        let expected = TEXT
            .replace("max_fails=2;", "max_fails=2 down;")
            .replace("server [fd00::2]:80;", "server [fd00::2]:80 down;")
            .replace("http://10.0.0.2:80;", "http://127.0.0.1:1;")
            .replace("r1", &after.revision);
        assert_eq!(after.text, expected);
        assert_ne!(after.revision, "r1");
        assert_eq!(without(&after, &["10.0.0.2:80"].into()), after, "once is enough");
    }

    #[test]
    fn a_configuration_without_them_is_left_alone() {
        assert_eq!(without(&good(), &["10.0.0.9:80"].into()), good());
        assert_eq!(without(&good(), &BTreeSet::new()), good());
    }
}
