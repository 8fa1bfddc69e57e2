//! Other servers of the nginx that is given our file, as far as they take requests that are meant for ours: who else is the
//! default of its port, and whose names are answered by others. Pure.

use super::syntax::{End, directives};

/// Neighbours that are named in one message.
const SHOWN: usize = 5;

/// A `server` of another author.
#[derive(Debug, PartialEq, Eq)]
struct Neighbour {
    /// `file:line` of its `listen`; of the server where it has none.
    place: String,
    is_default: bool,
    names: Vec<String>,
}

/// What begins each file in what `nginx -T` prints.
const FILE: &str = "# configuration file ";

/// Files of nginx: path and text.
pub type Texts = Vec<(String, String)>;

/// The files in what `nginx -T` prints.
pub fn dumped(said: &str) -> Texts {
    let mut files = Texts::new();
    for line in said.lines() {
        let path = line.strip_prefix(FILE).and_then(|rest| rest.strip_suffix(':'));
        match (path, files.last_mut()) {
            (Some(path), _) => files.push((path.to_owned(), String::new())),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    files
}

/// What people are advised where nginx refuses the file since its port has another default server.
pub fn advice(said: &str, files: &[(String, String)], port: u16) -> Option<String> {
    if !said.contains("duplicate default server") {
        return None;
    }
    let all = neighbours(files, port);
    let mut places: Vec<&str> = all
        .iter()
        .filter(|one| one.is_default)
        .map(|one| one.place.as_str())
        .collect();
    places.truncate(SHOWN);
    Some(match places.is_empty() {
        true => format!(
            "another server is the default one of port {port}: take default_server away there, or give spec.port another port"
        ),
        false => format!(
            "{} is the default server of port {port}: take default_server away there, or give spec.port another port",
            places.join(", ")
        ),
    })
}

/// Host names that other servers of the port answer; `None` where there are none.
pub fn shadowed(files: &[(String, String)], port: u16) -> Option<String> {
    let all = neighbours(files, port);
    let mut words: Vec<String> = all
        .iter()
        .filter(|one| !one.names.is_empty())
        .map(|one| format!("{} ({})", one.names.join(", "), one.place))
        .collect();
    words.truncate(SHOWN);
    (!words.is_empty()).then(|| {
        format!(
            "requests of port {port} to these host names are answered by other servers of this nginx: {}",
            words.join("; ")
        )
    })
}

/// Where another server listens on one of these TCP ports, each with the field that says it. nginx finds that out only when
/// it is to listen on both.
pub fn taken(files: &[(String, String)], ports: &[(String, u16)]) -> Option<String> {
    ports.iter().find_map(|(field, port)| {
        let place = neighbours(files, *port).into_iter().next()?.place;
        Some(format!(
            "{place} listens on port {port} already: give {field} another one"
        ))
    })
}

/// Whether a server of this file listens on this TCP port.
pub(crate) fn listens(text: &str, port: u16) -> bool {
    !servers("", text, port).is_empty()
}

fn neighbours(files: &[(String, String)], port: u16) -> Vec<Neighbour> {
    let found = files.iter().flat_map(|(path, text)| servers(path, text, port));
    found.collect()
}

fn servers(path: &str, text: &str, port: u16) -> Vec<Neighbour> {
    let mut found = Vec::new();
    let mut blocks: Vec<String> = Vec::new();
    let mut server = Server::default();
    for directive in directives(text) {
        let name = directive.words.first().cloned().unwrap_or_default();
        let is_inside = blocks.last().is_some_and(|block| block == "server");
        match directive.end {
            End::Opens => {
                if name == "server" {
                    server = Server::at(directive.line);
                }
                blocks.push(name);
            }
            End::Closes => {
                if blocks.pop().is_some_and(|block| block == "server") {
                    found.extend(std::mem::take(&mut server).on(path, port));
                }
            }
            End::Statement if is_inside => {
                let arguments = directive.words.get(1..).unwrap_or_default();
                match name.as_str() {
                    "listen" => server.listen(arguments, directive.line, port),
                    "server_name" => server.names.extend(arguments.iter().cloned()),
                    _ => {}
                }
            }
            End::Statement => {}
        }
    }
    found
}

#[derive(Default)]
struct Server {
    line: usize,
    listens_at_all: bool,
    /// Line of what makes it listen on the port, and whether as its default.
    listens: Option<(usize, bool)>,
    names: Vec<String>,
}

impl Server {
    fn at(line: usize) -> Self {
        Self {
            line,
            ..Self::default()
        }
    }

    fn listen(&mut self, arguments: &[String], line: usize, port: u16) {
        self.listens_at_all = true;
        let Some((address, parameters)) = arguments.split_first() else {
            return;
        };
        let number = address
            .rsplit_once(':')
            .map_or(address.as_str(), |(_, number)| number);
        // A port of UDP is another one.
        if parameters.iter().any(|word| word == "udp" || word == "quic") {
            return;
        }
        // An address alone means port 80.
        let is_port = match number.parse::<u16>() {
            Ok(number) => number == port,
            Err(_) => port == 80 && !address.starts_with("unix"),
        };
        if is_port {
            let is_default = parameters
                .iter()
                .any(|word| word == "default_server" || word == "default");
            let before = self.listens.is_some_and(|(_, default)| default);
            self.listens = Some((line, is_default || before));
        }
    }

    fn on(self, path: &str, port: u16) -> Option<Neighbour> {
        // One that does not say listens on port 80.
        let assumed = (!self.listens_at_all && port == 80).then_some((self.line, false));
        let (line, is_default) = self.listens.or(assumed)?;
        let names = self.names.into_iter();
        Some(Neighbour {
            place: format!("{path}:{line}"),
            is_default,
            names: names.filter(|name| name != "_" && !name.is_empty()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> (String, String) {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn the_stock_site_is_named_with_the_host_that_it_answers() {
        let said = "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\n\
                    # configuration file /etc/nginx/nginx.conf:\nhttp {\n    include /etc/nginx/conf.d/*.conf;\n}\n\n\
                    # configuration file /etc/nginx/conf.d/default.conf:\nserver {\n    listen       80;\n    listen  [::]:80;\n    \
                    server_name  localhost;\n    location / {\n        root /usr/share/nginx/html;\n    }\n}\n";
        let files = dumped(said);
        assert_eq!(files.len(), 2, "{files:?}");
        let words = shadowed(&files, 80).unwrap();
        assert!(
            words.contains("localhost (/etc/nginx/conf.d/default.conf:3)"),
            "{words}"
        );
        assert_eq!(shadowed(&files, 8080), None);
        assert_eq!(advice("unknown directive", &files, 80), None);
    }

    #[test]
    fn another_default_server_is_named_with_its_line() {
        let said = "[emerg] a duplicate default server for 0.0.0.0:80 in /etc/nginx/conf.d/lb.conf:9";
        let files = [
            file("/a.conf", "server {\n listen 81 default_server;\n}\n"),
            file(
                "/sites/b",
                "server {\n listen 8080;\n}\nserver {\n  listen 0.0.0.0:80\n default_server;\n}\n",
            ),
        ];
        let words = advice(said, &files, 80).unwrap();
        assert!(
            words.starts_with("/sites/b:5 is the default server of port 80"),
            "{words}"
        );
        let elsewhere = advice(said, &[], 80).unwrap();
        assert!(elsewhere.starts_with("another server"), "{elsewhere}");
    }

    #[test]
    fn a_port_of_tcp_that_another_server_listens_on_is_named_with_its_line() {
        let files = [file("/a.conf", "server {\n  listen 5432;\n}\n")];
        let ports = |port| [("spec.backends[0].listenPort".to_owned(), port)];
        assert_eq!(
            taken(&files, &ports(5432)).unwrap(),
            "/a.conf:2 listens on port 5432 already: give spec.backends[0].listenPort another one"
        );
        assert_eq!(taken(&files, &ports(5433)), None);
        for udp in ["udp", "quic reuseport"] {
            let files = [file("/a.conf", &format!("server {{ listen 5432 {udp}; }}"))];
            assert_eq!(taken(&files, &ports(5432)), None, "{udp}");
        }
    }

    #[test]
    fn a_server_listens_where_nginx_says_it_does() {
        for (text, is) in [
            ("server { server_name a; }", true),
            ("server { listen 127.0.0.1; server_name a; }", true),
            ("server { listen unix:/run/x; server_name a; }", false),
            ("server { listen *:80; server_name a; }", true),
            ("upstream a { server 10.0.0.1:80; }", false),
            ("server { listen 80; server_name _ \"\"; }", false),
            ("server { location / { server_name a; } listen 443; }", false),
        ] {
            let words = shadowed(&[file("/a.conf", text)], 80);
            assert_eq!(words.is_some(), is, "{text}: {words:?}");
        }
    }
}
