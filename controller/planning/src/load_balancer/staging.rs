//! How nginx is made to judge a new file before it is in its place: a copy of the main configuration that names every
//! file of the live folder, the new one in the place of its predecessor. Pure.
//!
//! A check that does not come to see the new file is none: where the main configuration does not itself include it, that is
//! refused with the line that is missing. nginx takes relative paths as from the folder of the file that it is started with.
//! Of the includes here they are written out; others can be judged only by a copy that lies beside the original.
//!
//! The file of TCP backends is ours as well, in a folder of its own: its include must be in the `stream` block.

use std::str::Chars;

pub use aegis_api::load_balancer::is_same_path;

use super::syntax::{Directive, End, directives};

/// Names of what is staged, in the folder of the configuration. nginx's `*` and `*.conf` do not reach these.
pub const SUFFIX: &str = ".aegis-check";

/// Where nginx's files are.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The main configuration.
    pub main: &'a str,
    /// Folder of the file that is ours.
    pub folder: &'a str,
    /// Its name.
    pub file: &'a str,
    /// It is the one of TCP backends.
    pub is_stream: bool,
}

impl Places<'_> {
    /// The file that is ours.
    pub fn config(&self) -> String {
        format!("{}/{}", self.folder.trim_end_matches('/'), self.file)
    }

    /// Name of the staged file, in the folder.
    pub fn staged_name(&self) -> String {
        format!(".{}{SUFFIX}", self.file)
    }

    /// The staged file.
    pub fn staged(&self) -> String {
        format!("{}/{}", self.folder.trim_end_matches('/'), self.staged_name())
    }

    /// Folder and name of the main configuration.
    pub fn main_parts(&self) -> (&str, &str) {
        self.main.rsplit_once('/').unwrap_or(("", self.main))
    }

    /// Name of the staged copy of the main configuration, in the folder or beside the original.
    pub fn staged_main_name(&self) -> String {
        // Several of our files may lie beside each other, each checked by a pass of its own.
        format!(".{}.{}{SUFFIX}", self.main_parts().1, self.file)
    }

    /// Whether what nginx said of the staged copy may come of relative paths, which it took as from the wrong folder.
    pub fn may_be_astray(&self, said: &str, present: &[String]) -> bool {
        let folder = format!("\"{}/", self.folder.trim_end_matches('/'));
        let named = said.split(folder.as_str()).skip(1);
        let mut named = named.filter_map(|rest| rest.split('"').next());
        self.main_parts().0 != self.folder
            && named.any(|name| name != self.staged_name() && !present.iter().any(|file| file == name))
    }
}

/// Why nginx would not see the new file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotIncluded {
    /// Where requests are.
    #[error("nginx does not read {config}: add `include {config};` to the http block of {main}{instead}")]
    Http {
        config: String,
        main: String,
        /// Where its includes of other files are.
        instead: String,
    },
    /// Where TCP is.
    #[error("nginx does not read {config}, where its TCP backends are: add {add}")]
    Stream { config: String, add: String },
    /// A file of TCP backends that is read elsewhere.
    #[error(
        "line {line} of {main} includes {config} outside of a stream block, where nginx has no TCP: take it out there, and add {add}"
    )]
    NotStream {
        config: String,
        main: String,
        line: usize,
        add: String,
    },
}

/// The main configuration with every include of the folder written out: what the pattern means among `present` (names of
/// the files there), except that ours is the staged one.
pub fn main_with_staged(main: &str, places: Places<'_>, present: &[String]) -> Result<String, NotIncluded> {
    let mut names: Vec<&str> = present.iter().map(String::as_str).collect();
    names.push(places.file);
    // As glob sorts them: of two servers that could answer, nginx takes the first.
    names.sort_unstable();
    names.dedup();
    let (base, _) = places.main_parts();
    let mut staged = String::new();
    let (mut copied, mut is_seen) = (0, false);
    let mut others = Vec::new();
    let mut blocks: Vec<&str> = Vec::new();
    let mut astray = None;
    let all = directives(main);
    for directive in &all {
        match directive.end {
            End::Opens => blocks.push(directive.words.first().map_or("", String::as_str)),
            End::Closes => {
                blocks.pop();
            }
            End::Statement => {}
        }
        let Some(path) = directive.only_argument("include") else {
            continue;
        };
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{base}/{path}"),
        };
        let includes = match pattern_in(&path, places.folder) {
            Some(pattern) => {
                let meant = names.iter().filter(|name| matches(pattern, name));
                let includes = meant.map(|name| {
                    let is_ours = *name == places.file;
                    is_seen |= is_ours;
                    if is_ours && places.is_stream && blocks != [STREAM] {
                        astray.get_or_insert(directive.line);
                    }
                    let file = match is_ours {
                        true => places.staged(),
                        false => format!("{}/{name}", places.folder),
                    };
                    include(&file)
                });
                includes.collect::<Vec<_>>().join(" ")
            }
            None => {
                if !path.ends_with("/mime.types") {
                    others.push(format!("line {} includes {path}", directive.line));
                }
                include(&path)
            }
        };
        staged.push_str(main.get(copied..directive.range.start).unwrap_or_default());
        staged.push_str(&includes);
        copied = directive.range.end;
    }
    staged.push_str(main.get(copied..).unwrap_or_default());
    if let Some(line) = astray {
        return Err(NotIncluded::NotStream {
            config: places.config(),
            main: places.main.to_owned(),
            line,
            add: stream_include(places, &all),
        });
    }
    if is_seen {
        return Ok(staged);
    }
    if places.is_stream {
        return Err(NotIncluded::Stream {
            config: places.config(),
            add: stream_include(places, &all),
        });
    }
    let has_http = all.iter().any(|directive| opens(directive, "http"));
    others.truncate(SHOWN);
    Err(NotIncluded::Http {
        config: places.config(),
        main: places.main.to_owned(),
        instead: match (has_http, others.is_empty()) {
            (_, false) => format!("; its {}", others.join(", ")),
            (false, true) => ", which has none".to_owned(),
            (true, true) => String::new(),
        },
    })
}

/// The main configuration that nginx was started with, from what follows `nginx: master process` in its title; `None` where
/// that does not say.
pub fn started_with(title: &str) -> Option<String> {
    let words: Vec<&str> = title.split_whitespace().collect();
    let after = |flag: &str| {
        let at = words.iter().position(|word| *word == flag)?;
        words.get(at.saturating_add(1)).copied()
    };
    let main = after("-c")?;
    match (
        main.starts_with('/'),
        after("-p").filter(|prefix| prefix.starts_with('/')),
    ) {
        (true, _) => Some(main.to_owned()),
        (false, Some(prefix)) => Some(format!("{}/{main}", prefix.trim_end_matches('/'))),
        (false, None) => None,
    }
}

/// The global directives that nginx was started with (`-g`), from what follows `nginx: master process` in its title; empty where
/// there are none, or none that are whole. The title does not say where an argument ends: they end with a semicolon.
pub fn globals(title: &str) -> String {
    let words: Vec<&str> = title.split_whitespace().collect();
    // nginx takes the last ones that it is given.
    let Some(at) = words.iter().rposition(|word| word.starts_with("-g")) else {
        return String::new();
    };
    let mut words = words.into_iter().skip(at);
    let first = words.next().and_then(|word| word.strip_prefix("-g"));
    let first = first.filter(|word| !word.is_empty());
    let rest = words.take_while(|word| !OPTIONS.contains(word));
    let all: Vec<&str> = first.into_iter().chain(rest).collect();
    let text = all.join(" ");
    match text.ends_with(';') && text.len() <= GLOBALS {
        true => text,
        false => String::new(),
    }
}

/// The main configuration that nginx reads by itself, from what `nginx -V` prints.
pub fn built_with(said: &str) -> Option<String> {
    let after = |option: &str| said.split_whitespace().find_map(|word| word.strip_prefix(option));
    let main = after("--conf-path=");
    let prefix = after("--prefix=").map(|prefix| prefix.trim_end_matches('/'));
    match (main, prefix) {
        (Some(main), _) if main.starts_with('/') => Some(main.to_owned()),
        (Some(main), Some(prefix)) => Some(format!("{prefix}/{main}")),
        (None, Some(prefix)) => Some(format!("{prefix}/conf/nginx.conf")),
        (_, None) => None,
    }
}

/// Options of nginx that may follow its global directives.
const OPTIONS: [&str; 4] = ["-c", "-p", "-e", "-q"];
/// Longest global directives that are passed on, in bytes.
const GLOBALS: usize = 1000;
/// Includes of other files that are named.
const SHOWN: usize = 5;

/// Name of the block that TCP is in.
const STREAM: &str = "stream";

fn opens(directive: &Directive, block: &str) -> bool {
    directive.end == End::Opens && directive.words.first().is_some_and(|name| name == block)
}

/// The line that is missing for a file of TCP backends, and where. It is true before there is such a file, too.
fn stream_include(places: Places<'_>, all: &[Directive]) -> String {
    let line = format!("include {}/*.conf;", places.folder.trim_end_matches('/'));
    let main = places.main;
    match all.iter().any(|directive| opens(directive, STREAM)) {
        true => format!("`{line}` to the stream block of {main}"),
        false => format!("`stream {{ {line} }}` to {main}, beside its http block"),
    }
}

fn include(path: &str) -> String {
    format!("include {};", quoted(path))
}

/// The pattern of a path of files directly in the folder.
fn pattern_in<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let pattern = path
        .strip_prefix(folder.trim_end_matches('/'))?
        .strip_prefix('/')?;
    (!pattern.contains('/')).then_some(pattern)
}

/// As glob matches names: `*` is any text, `?` any character, `[a-c]` one of these, `[!a-c]` none of these, and a leading dot
/// must be written.
fn matches(pattern: &str, name: &str) -> bool {
    let hidden = name.starts_with('.') && !pattern.starts_with('.');
    !hidden && matches_rest(pattern, name)
}

/// At most as many steps as both lengths multiplied: what the last `*` took is given back one by one, and nothing before
/// it is looked at again. The pattern is what a container's own file says.
fn matches_rest(pattern: &str, name: &str) -> bool {
    let (mut wanted, mut found) = (pattern.chars(), name.chars());
    // After the last `*`: the rest of the pattern, and the rest of the name that it has not taken.
    let mut last_star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let (mut next_wanted, mut next_found) = (wanted.clone(), found.clone());
        match (next_wanted.next(), next_found.next()) {
            (Some('*'), _) => {
                last_star = Some((next_wanted.clone(), found.clone()));
                wanted = next_wanted;
                continue;
            }
            (Some('?'), Some(_)) => {
                (wanted, found) = (next_wanted, next_found);
                continue;
            }
            (Some('['), Some(sign)) if class(&next_wanted).is_some() => {
                if let Some((class, after)) = class(&next_wanted)
                    && is_in(class, sign)
                {
                    (wanted, found) = (after.chars(), next_found);
                    continue;
                }
            }
            (Some(a), Some(b)) if a == b => {
                (wanted, found) = (next_wanted, next_found);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after, mut taken)) = last_star else {
            return false;
        };
        if taken.next().is_none() {
            return false;
        }
        (wanted, found) = (after.clone(), taken.clone());
        last_star = Some((after, taken));
    }
}

/// The inside of `[…]` after its first sign, and what follows it.
fn class<'a>(rest: &Chars<'a>) -> Option<(&'a str, &'a str)> {
    let text = rest.as_str();
    // Directly after the begin a `]` is one of the class.
    let skip = text.chars().take_while(|sign| matches!(sign, '!' | '^')).count();
    let skip = skip.min(1);
    let from = text.get(skip..)?;
    let first = from.chars().next()?.len_utf8();
    let end = from
        .get(first..)?
        .find(']')?
        .saturating_add(first)
        .saturating_add(skip);
    Some((text.get(..end)?, text.get(end.saturating_add(1)..)?))
}

fn is_in(class: &str, sign: char) -> bool {
    let (negated, class) = match class.strip_prefix(['!', '^']) {
        Some(class) => (true, class),
        None => (false, class),
    };
    let signs: Vec<char> = class.chars().collect();
    let mut rest = signs.as_slice();
    let mut is_one = false;
    loop {
        rest = match rest {
            [from, '-', to, rest @ ..] => {
                is_one |= (*from..=*to).contains(&sign);
                rest
            }
            [one, rest @ ..] => {
                is_one |= *one == sign;
                rest
            }
            [] => return is_one != negated,
        };
    }
}

fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places<'_> = Places {
        main: "/etc/nginx/nginx.conf",
        folder: "/etc/nginx/conf.d",
        file: "lb.conf",
        is_stream: false,
    };
    const TCP: Places<'_> = Places {
        folder: "/etc/nginx/stream.d",
        is_stream: true,
        ..PLACES
    };

    #[test]
    fn a_file_of_tcp_is_staged_in_the_stream_block_or_the_line_that_is_missing_is_said() {
        let staged = |main: &str| main_with_staged(main, TCP, &["other.conf".to_owned()]);
        let http = "http { include conf.d/*.conf; }";
        assert_eq!(
            staged(&format!("{http} stream {{ include stream.d/*.conf; }}")).unwrap(),
            "http { include \"/etc/nginx/conf.d/*.conf\"; } stream { include \"/etc/nginx/stream.d/.lb.conf.aegis-check\"; \
             include \"/etc/nginx/stream.d/other.conf\"; }"
        );
        let both = main_with_staged(
            &format!("{http} stream {{ include stream.d/*.conf; }}"),
            PLACES,
            &[],
        );
        assert_eq!(
            staged(&both.unwrap())
                .unwrap()
                .matches(".lb.conf.aegis-check")
                .count(),
            2
        );
        let line = "`stream { include /etc/nginx/stream.d/*.conf; }` to /etc/nginx/nginx.conf, beside its http block";
        let in_block = "`include /etc/nginx/stream.d/*.conf;` to the stream block of /etc/nginx/nginx.conf";
        for (main, says) in [
            (
                http.to_owned(),
                vec!["does not read /etc/nginx/stream.d/lb.conf", line],
            ),
            (
                format!("{http} # stream {{ include stream.d/*.conf; }}"),
                vec![line],
            ),
            (format!("{http} stream {{ }}"), vec![in_block]),
            (
                format!("{http}\ninclude stream.d/*.conf;"),
                vec![
                    "line 2 of /etc/nginx/nginx.conf includes",
                    "outside of a stream block",
                    line,
                ],
            ),
            (
                "http {\n\ninclude stream.d/*.conf; }\nstream { include stream.d/*.conf; }".to_owned(),
                vec!["line 3 of", in_block],
            ),
            (
                "stream { server { include stream.d/*.conf; } }".to_owned(),
                vec!["line 1 of", in_block],
            ),
        ] {
            let why = staged(&main).unwrap_err().to_string();
            assert!(says.iter().all(|part| why.contains(part)), "{main}: {why}");
        }
    }

    fn staged(main: &str) -> Result<String, NotIncluded> {
        let present = ["b.conf", "a.conf", "lb.conf", ".hidden.conf", "proxy.inc"].map(str::to_owned);
        main_with_staged(main, PLACES, &present)
    }

    #[test]
    fn an_include_names_the_live_neighbours_and_the_staged_file() {
        let main = "http { include /etc/nginx/mime.types; include /etc/nginx/conf.d/*.conf; }";
        assert_eq!(
            staged(main).unwrap(),
            "http { include \"/etc/nginx/mime.types\"; include \"/etc/nginx/conf.d/a.conf\"; \
             include \"/etc/nginx/conf.d/b.conf\"; include \"/etc/nginx/conf.d/.lb.conf.aegis-check\"; }"
        );
        let by_name = "http{include '/etc/nginx/conf.d/lb.conf';}";
        assert_eq!(
            staged(by_name).unwrap(),
            "http{include \"/etc/nginx/conf.d/.lb.conf.aegis-check\";}"
        );
    }

    #[test]
    fn relative_includes_are_those_of_the_main_configuration_wherever_its_copy_lies() {
        let main = "include modules/*.conf;\nhttp {\n  include mime.types;\n  include conf.d/[a-m]*.conf;\n  include conf.d/lb.conf;\n}\n";
        assert_eq!(
            staged(main).unwrap(),
            "include \"/etc/nginx/modules/*.conf\";\nhttp {\n  include \"/etc/nginx/mime.types\";\n  \
             include \"/etc/nginx/conf.d/a.conf\"; include \"/etc/nginx/conf.d/b.conf\"; \
             include \"/etc/nginx/conf.d/.lb.conf.aegis-check\";\n  include \"/etc/nginx/conf.d/.lb.conf.aegis-check\";\n}\n"
        );
    }

    #[test]
    fn a_check_that_would_not_see_the_file_is_refused_with_the_line_that_is_missing() {
        for (main, instead) in [
            ("http { # include /etc/nginx/conf.d/*.conf;\n}", "nginx.conf"),
            ("http { include /etc/nginx/conf.d/*.inc; }", "nginx.conf"),
            (
                "http {\ninclude /etc/nginx/sites/*.conf; }",
                "its line 2 includes /etc/nginx/sites/*.conf",
            ),
            (
                "http { include sites/all; }",
                "its line 1 includes /etc/nginx/sites/all",
            ),
            ("http { include /etc/nginx/conf.d.old/*.conf; }", "conf.d.old"),
            ("http { include /etc/nginx/conf.d/more/*.conf; }", "conf.d/more"),
            (
                "error_log /etc/nginx/conf.d/lb.conf;",
                "nginx.conf, which has none",
            ),
        ] {
            let why = staged(main).unwrap_err().to_string();
            assert!(
                why.contains(
                    "add `include /etc/nginx/conf.d/lb.conf;` to the http block of /etc/nginx/nginx.conf"
                ) && why.contains(instead),
                "{main}: {why}"
            );
        }
    }

    #[test]
    fn global_directives_are_what_the_command_line_says_where_it_is_whole() {
        for (title, globals) in [
            ("nginx -g daemon off;", "daemon off;"),
            ("nginx -gdaemon off;", "daemon off;"),
            (
                "nginx -c /etc/nginx/nginx.conf -g daemon off; pid /tmp/n.pid; -e stderr",
                "daemon off; pid /tmp/n.pid;",
            ),
            (
                "nginx -g load_module modules/a-b.so; daemon off; -p /srv",
                "load_module modules/a-b.so; daemon off;",
            ),
            ("nginx -g daemon off; -g pid /x;", "pid /x;"),
            ("nginx -c /etc/nginx/nginx.conf", ""),
            ("nginx -g", ""),
            ("nginx -g daemon", ""),
            ("", ""),
        ] {
            assert_eq!(super::globals(title), globals, "{title}");
        }
        assert_eq!(super::globals(&format!("nginx -g {};", "x".repeat(GLOBALS))), "");
    }

    #[test]
    fn which_main_configuration_nginx_reads_is_known_from_its_title_or_its_build() {
        for (title, main) in [
            (" nginx -e /dev/stderr -g daemon off;", None),
            (" nginx -c /srv/lb.conf -g daemon off;", Some("/srv/lb.conf")),
            (
                " /usr/sbin/nginx -p /srv/ -c conf/lb.conf",
                Some("/srv/conf/lb.conf"),
            ),
            (" nginx -c conf/lb.conf", None),
            (" nginx -c", None),
        ] {
            assert_eq!(started_with(title).as_deref(), main, "{title}");
        }
        for (said, main) in [
            (
                "configure arguments: --prefix=/etc/nginx --conf-path=/etc/nginx/nginx.conf",
                Some("/etc/nginx/nginx.conf"),
            ),
            (
                "nginx version: openresty/1.25.3.1\nconfigure arguments: --prefix=/usr/local/openresty/nginx --with-pcre",
                Some("/usr/local/openresty/nginx/conf/nginx.conf"),
            ),
            ("", None),
        ] {
            assert_eq!(built_with(said).as_deref(), main, "{said}");
        }
        assert!(is_same_path("/etc/nginx//./nginx.conf", "/etc/nginx/nginx.conf"));
        assert!(!is_same_path("/etc/nginx/nginx.conf", "/srv/nginx.conf"));
    }

    #[test]
    fn what_nginx_looked_for_beside_the_copy_shows_that_paths_are_relative() {
        let present = ["a.conf".to_owned()];
        for (said, is) in [
            (
                "[emerg] open() \"/etc/nginx/conf.d/snippets/tls.conf\" failed (2: No such file)",
                true,
            ),
            (
                "cannot load certificate \"/etc/nginx/conf.d/cert.pem\": BIO_new_file() failed",
                true,
            ),
            ("open() \"/etc/nginx/conf.d/.lb.conf.aegis-check\" failed", false),
            ("open() \"/etc/nginx/conf.d/a.conf\" failed", false),
            ("open() \"/srv/x\" failed", false),
            (
                "unknown directive \"x\" in /etc/nginx/conf.d/.lb.conf.aegis-check:3",
                false,
            ),
        ] {
            assert_eq!(PLACES.may_be_astray(said, &present), is, "{said}");
        }
    }

    #[test]
    fn names_match_as_glob_matches_them_and_hostile_patterns_cost_no_more() {
        for (pattern, name, is) in [
            ("*", "", true),
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            (".*.conf", ".a.conf", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**a**", "xxaxx", true),
            ("ü*", "über", true),
            ("a", "", false),
            ("", "a", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("*[0-9].conf", "lb-7.conf", true),
            ("[ab", "[ab", true),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
        // Exponential, this would not end in a lifetime.
        assert!(!matches(
            &"*a".repeat(100),
            &"a".repeat(255).replace("aaaaa", "aaaab")
        ));
        assert!(!matches(&format!("{}b", "a*".repeat(100)), &"a".repeat(255)));
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_included_all_the_same() {
        let places = Places {
            main: "/c/nginx.conf",
            folder: "/c",
            file: "lb.conf",
            is_stream: false,
        };
        let main = main_with_staged("include /c/*;", places, &[]).unwrap();
        assert_eq!(main, "include \"/c/.lb.conf.aegis-check\";");
    }
}
