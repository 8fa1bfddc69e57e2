use super::*;
use crate::config::{Environment, resolve};
use clap::Parser;

fn client(server: &str) -> Client {
    let args = crate::args::Args::parse_from(["aegisctl", "--server", server, "api-resources"]);
    let settings = resolve(&args.global, &Environment::default()).unwrap();
    Client::new(&settings, Console::captured().0).unwrap()
}

#[test]
fn urls_keep_the_servers_path_and_escape_what_is_put_into_them() {
    let url = |server: &str| {
        client(server)
            .url(&["incidents", "a/../b?c"], &[("since", "1&2")])
            .to_string()
    };
    assert_eq!(
        url("http://h:1"),
        "http://h:1/incidents/a%2F..%2Fb%3Fc?since=1%262"
    );
    assert_eq!(
        url("http://h:1/prefix/"),
        "http://h:1/prefix/incidents/a%2F..%2Fb%3Fc?since=1%262"
    );
}

#[test]
fn warnings_are_read_and_made_safe() {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes("299 - \"web.yaml line 3: \\\"x\\\" \u{9b}2J\"".as_bytes()).unwrap();
    headers.append(reqwest::header::WARNING, value);
    headers.append(reqwest::header::WARNING, HeaderValue::from_static("nonsense"));
    assert_eq!(warnings(&headers), ["web.yaml line 3: \"x\" \\x9b2J"]);
}

#[test]
fn only_this_host_is_loopback() {
    for (url, expected) in [
        ("http://127.0.0.1:1", true),
        ("http://127.8.9.1:1", true),
        ("http://[::1]:1", true),
        ("http://localhost", true),
        ("http://10.0.0.1", false),
        ("http://localhost.example", false),
    ] {
        assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
    }
}
