//! A checked nginx configuration: includes resolved, upstreams read, requests answered from it. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::syntax::{Directive, parse};

/// Where the proof of a reload is read.
const REVISION_PATH: &str = "/aegis-revision";
/// What `stub_status` answers the only client.
const STATUS_PAGE: &str =
    "Active connections: 1 \nserver accepts handled requests\n 1 1 1 \nReading: 0 Writing: 1 Waiting: 0 \n";
/// Includes inside includes beyond this are a loop.
const INCLUDE_DEPTH: usize = 8;

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) upstreams: BTreeMap<String, Vec<String>>,
    pub(crate) text: String,
    /// The same, each file below its path, as `nginx -T` prints them.
    pub(crate) dump: String,
    servers: Vec<Directive>,
}

/// What a configuration says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// It answers by itself.
    Answer(u16, String),
    /// One of these servers answers.
    Servers(Vec<String>),
    /// Nothing listens on that port.
    Closed,
}

impl Config {
    /// Reads and checks the configuration that starts at `main`. The error is what `nginx -t` prints.
    pub(crate) fn load(files: &Files, main: &str, resolves: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let emerg = |complaint: String| format!("nginx: [emerg] {complaint}");
        let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut config = Self::default();
        let tree = config.read(files, main, folder, 0).map_err(emerg)?;
        config.walk(&tree).map_err(emerg)?;
        config.check_servers(&tree, resolves).map_err(emerg)?;
        Ok(config)
    }

    fn read(
        &mut self,
        files: &Files,
        file: &str,
        folder: &str,
        depth: usize,
    ) -> Result<Vec<Directive>, String> {
        let content = files
            .get(file)
            .ok_or_else(|| format!("open() \"{file}\" failed (2: No such file or directory)"))?;
        let text = String::from_utf8_lossy(content);
        self.text.push_str(&text);
        self.dump
            .push_str(&format!("# configuration file {file}:\n{text}\n"));
        let tree = parse(file, &text)?;
        self.expand(files, tree, folder, depth)
    }

    fn expand(
        &mut self,
        files: &Files,
        tree: Vec<Directive>,
        folder: &str,
        depth: usize,
    ) -> Result<Vec<Directive>, String> {
        let mut expanded = Vec::new();
        for mut directive in tree {
            if directive.name == "include" && depth < INCLUDE_DEPTH {
                let pattern = directive.arg(0);
                let pattern = if pattern.starts_with('/') {
                    pattern.to_owned()
                } else {
                    format!("{folder}/{pattern}")
                };
                if pattern.contains('*') {
                    let included: Vec<&String> =
                        files.keys().filter(|path| matches(&pattern, path)).collect();
                    for path in included {
                        expanded.extend(self.read(files, path, folder, depth + 1)?);
                    }
                } else {
                    expanded.extend(self.read(files, &pattern, folder, depth + 1)?);
                }
                continue;
            }
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.expand(files, block, folder, depth)?);
            }
            expanded.push(directive);
        }
        Ok(expanded)
    }

    fn walk(&mut self, tree: &[Directive]) -> Result<(), String> {
        for directive in tree {
            let place = format!("{}:{}", directive.file, directive.line);
            if directive.name.contains("invalid_directive") {
                return Err(format!("unknown directive \"{}\" in {place}", directive.name));
            }
            if directive.name == "upstream" && directive.block.is_some() {
                self.upstream(directive, &place)?;
                continue;
            }
            if directive.name == "server" && directive.block.is_some() {
                self.servers.push(directive.clone());
            }
            self.walk(directive.inner())?;
        }
        Ok(())
    }

    fn upstream(&mut self, directive: &Directive, place: &str) -> Result<(), String> {
        let name = directive.arg(0).to_owned();
        let servers = directive.inner().iter().filter(|inner| inner.name == "server");
        if servers.clone().next().is_none() {
            return Err(format!("no servers are inside upstream in {place}"));
        }
        if let Some(odd) = directive
            .inner()
            .iter()
            .find(|inner| inner.name.contains("invalid_directive"))
        {
            return Err(format!(
                "unknown directive \"{}\" in {}:{}",
                odd.name, odd.file, odd.line
            ));
        }
        let in_rotation = servers.filter(|server| !server.args.iter().any(|arg| arg == "down"));
        let addresses = in_rotation.map(|server| server.arg(0).to_owned()).collect();
        if self.upstreams.insert(name.clone(), addresses).is_some() {
            return Err(format!("duplicate upstream \"{name}\" in {place}"));
        }
        Ok(())
    }

    fn check_servers(&self, tree: &[Directive], resolves: &dyn Fn(&str) -> bool) -> Result<(), String> {
        for directive in tree {
            let place = format!("{}:{}", directive.file, directive.line);
            if directive.name == "upstream" {
                for server in directive.inner().iter().filter(|inner| inner.name == "server") {
                    let host = host_of(server.arg(0));
                    if !is_known(host, resolves) {
                        return Err(format!(
                            "host not found in upstream \"{}\" in {}:{}",
                            server.arg(0),
                            server.file,
                            server.line
                        ));
                    }
                }
                continue;
            }
            if let Some(target) = proxied(directive)
                && !self.upstreams.contains_key(target)
                && !is_known(host_of(target), resolves)
            {
                return Err(format!("host not found in upstream \"{target}\" in {place}"));
            }
            self.check_servers(directive.inner(), resolves)?;
        }
        Ok(())
    }

    /// What it does with a request from outside for `path` on `port`.
    pub(crate) fn place(&self, port: u16, path: &str) -> Route {
        let path = path.split('?').next().unwrap_or_default();
        let listening = self.servers.iter().filter(|server| listens(server, port));
        let locations = || {
            listening
                .clone()
                .flat_map(Directive::inner)
                .filter(|inner| inner.name == "location")
        };
        if listening.clone().next().is_none() {
            return Route::Closed;
        }
        let exact = locations().find(|location| location.arg(0) == "=" && location.arg(1) == path);
        let prefix = |location: &&Directive| match location.args.as_slice() {
            [prefix] => path.starts_with(prefix.as_str()).then_some(prefix.len()),
            [modifier, prefix] if modifier == "^~" => {
                path.starts_with(prefix.as_str()).then_some(prefix.len())
            }
            _ => None,
        };
        let longest = || {
            locations()
                .filter(|location| prefix(location).is_some())
                .max_by_key(prefix)
        };
        match exact.or_else(longest) {
            Some(location) => self.answer(location),
            None => Route::Answer(404, String::new()),
        }
    }

    fn answer(&self, location: &Directive) -> Route {
        for inner in location.inner() {
            if inner.name == "return" {
                return Route::Answer(inner.arg(0).parse().unwrap_or(200), inner.arg(1).to_owned());
            }
            if inner.name == "stub_status" {
                return Route::Answer(200, STATUS_PAGE.to_owned());
            }
            if let Some(target) = proxied(inner) {
                return Route::Servers(
                    self.upstreams
                        .get(target)
                        .cloned()
                        .unwrap_or_else(|| vec![target.to_owned()]),
                );
            }
        }
        Route::Answer(404, String::new())
    }

    /// What `location = /aegis-revision` answers.
    pub(crate) fn revision(&self) -> Option<String> {
        let locations = self.servers.iter().flat_map(Directive::inner);
        let mut named = locations.filter(|inner| inner.arg(0) == "=" && inner.arg(1) == REVISION_PATH);
        match self.answer(named.next()?) {
            Route::Answer(200, text) => Some(text.trim().to_owned()),
            _ => None,
        }
    }
}

/// The host and port of a `proxy_pass` that is fixed (one with variables is decided request by request).
fn proxied(directive: &Directive) -> Option<&str> {
    let target = Some(directive.arg(0)).filter(|_| directive.name == "proxy_pass")?;
    let target = target
        .strip_prefix("http://")
        .unwrap_or(target)
        .split('/')
        .next()?;
    (!target.contains('$')).then_some(target)
}

fn host_of(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => address,
    }
}

fn is_known(host: &str, resolves: &dyn Fn(&str) -> bool) -> bool {
    let literal = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .is_ok();
    literal || host == "localhost" || host.starts_with("unix") || resolves(host)
}

fn listens(server: &Directive, port: u16) -> bool {
    let mut listens = server
        .inner()
        .iter()
        .filter(|inner| inner.name == "listen")
        .peekable();
    if listens.peek().is_none() {
        return port == 80;
    }
    listens.any(|listen| {
        let address = listen.arg(0);
        match address.parse::<SocketAddr>() {
            Ok(address) => address.port() == port && !address.ip().is_loopback(),
            Err(_) => match address.rsplit_once(':') {
                Some(("*", number)) => number.parse() == Ok(port),
                Some(_) => false,
                None => address.parse() == Ok(port),
            },
        }
    })
}

/// A glob with `*` inside the last path segment, which is all that nginx configurations use here.
fn matches(pattern: &str, path: &str) -> bool {
    let (Some((folder, name)), Some((path_folder, file))) = (pattern.rsplit_once('/'), path.rsplit_once('/'))
    else {
        return false;
    };
    let Some((before, after)) = name.split_once('*') else {
        return pattern == path;
    };
    folder == path_folder
        && file.len() >= before.len() + after.len()
        && file.starts_with(before)
        && file.ends_with(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let main = "events { }\nhttp { include conf.d/*.conf; }\n";
        let files = [
            ("/etc/nginx/nginx.conf", main),
            ("/etc/nginx/conf.d/upstream.conf", text),
        ];
        let files = files
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .into_iter()
            .collect();
        Config::load(&files, "/etc/nginx/nginx.conf", &|host| host == "web")
    }

    const GOOD: &str = r#"
        # two servers, one of them out
        upstream app { least_conn; server 172.18.0.2:8000 max_fails=0; server 172.18.0.3:8000 down; keepalive 16; }
        server {
            listen 80 default_server;
            location = /aegis-revision { default_type text/plain; return 200 "abc123\n"; }
            location /api/ { proxy_pass http://web:9000; }
            location / { proxy_set_header Host "${host}"; proxy_pass http://app; }
        }
        server { listen 127.0.0.1:8081; location / { return 200 'inside'; } }
    "#;

    #[test]
    fn a_good_configuration_answers_as_it_says() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.revision().as_deref(), Some("abc123"));
        assert_eq!(config.upstreams["app"], ["172.18.0.2:8000"]);
        assert_eq!(
            config.place(80, "/aegis-revision"),
            Route::Answer(200, "abc123\n".to_owned())
        );
        assert_eq!(
            config.place(80, "/x?y=1"),
            Route::Servers(vec!["172.18.0.2:8000".to_owned()])
        );
        assert_eq!(
            config.place(80, "/api/x"),
            Route::Servers(vec!["web:9000".to_owned()])
        );
        assert_eq!(config.place(8081, "/"), Route::Closed);
    }

    #[test]
    fn what_nginx_would_refuse_is_refused_in_its_words() {
        for (text, complaint) in [
            (
                "upstream app { }",
                "no servers are inside upstream in /etc/nginx/conf.d/upstream.conf:1",
            ),
            ("upstream app { least_conn; }", "no servers are inside upstream"),
            (
                "server {\n invalid_directive on;\n}",
                "unknown directive \"invalid_directive\" in /etc/nginx/conf.d/upstream.conf:2",
            ),
            ("server { listen 80; ", "unexpected end of file, expecting \"}\""),
            ("server { listen 80 }", "unexpected \"}\""),
            ("server { listen 80; }}", "unexpected \"}\""),
            (
                "server { listen 80; } garbage",
                "unexpected end of file, expecting \";\" or \"}\"",
            ),
            (
                "server { return 200 'x; }",
                "unexpected end of file, expecting \"'\"",
            ),
            (
                "upstream app { server nowhere:80; }",
                "host not found in upstream \"nowhere:80\"",
            ),
            (
                "server { location / { proxy_pass http://typo; } }",
                "host not found in upstream \"typo\"",
            ),
            (
                "upstream a { server web:80; }\nupstream a { server web:80; }",
                "duplicate upstream \"a\"",
            ),
            (
                "include missing.conf;",
                "open() \"/etc/nginx/missing.conf\" failed",
            ),
        ] {
            let said = load(text).unwrap_err();
            assert!(
                said.starts_with("nginx: [emerg] ") && said.contains(complaint),
                "{text}: {said}"
            );
        }
    }
}
