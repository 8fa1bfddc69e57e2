//! How nginx is made to judge a new file before it is in its place: a copy of the main configuration that names every
//! file of the live folder, the new one in the place of its predecessor. Pure.
//!
//! Nothing but those two files is ever staged, and each overwrites its own earlier self: a container's files can be
//! written from outside and not deleted, so whatever was left there would be judged for ever.

use std::str::Chars;

/// Folder beside the configuration in which a new one is checked. nginx's `*.conf` does not reach into it.
pub const FOLDER: &str = ".aegis";

/// The main configuration with every include of `folder` written out: what the pattern means among `present` (names of
/// the files there), except that `file` is the staged one.
pub fn main_with_staged(main: &str, folder: &str, file: &str, present: &[String]) -> String {
    let mut names: Vec<&str> = present.iter().map(String::as_str).collect();
    names.push(file);
    // As glob sorts them: of two servers that could answer, nginx takes the first.
    names.sort_unstable();
    names.dedup();
    let statements = main.split_inclusive(';').map(|statement| {
        let Some((before, pattern)) = include_of(statement, folder) else {
            return statement.to_owned();
        };
        let meant = names.iter().filter(|name| matches(pattern, name));
        let includes = meant.map(|name| {
            let path = match *name == file {
                true => format!("{folder}/{FOLDER}/{name}"),
                false => format!("{folder}/{name}"),
            };
            format!("include {};", quoted(&path))
        });
        format!("{before}{}", includes.collect::<Vec<_>>().join(" "))
    });
    statements.collect()
}

/// The pattern of an include of files directly in the folder, and what stands before it.
fn include_of<'a>(statement: &'a str, folder: &str) -> Option<(&'a str, &'a str)> {
    let words = statement.strip_suffix(';')?.trim_end();
    let (head, path) = words.rsplit_once(char::is_whitespace)?;
    let before = head.trim_end().strip_suffix("include")?;
    let pattern = path
        .trim_matches(['"', '\''])
        .strip_prefix(folder)?
        .strip_prefix('/')?;
    (!pattern.contains('/')).then_some((before, pattern))
}

/// As glob matches names: `*` is any text, `?` any character, and a leading dot must be written.
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

fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(main: &str) -> String {
        let present = ["b.conf", "a.conf", "lb.conf", ".hidden.conf", "proxy.inc"].map(str::to_owned);
        main_with_staged(main, "/etc/nginx/conf.d", "lb.conf", &present)
    }

    #[test]
    fn an_include_names_the_live_neighbours_and_the_staged_file() {
        let main = "http { include /etc/nginx/mime.types; include /etc/nginx/conf.d/*.conf; }";
        assert_eq!(
            staged(main),
            "http { include /etc/nginx/mime.types; include \"/etc/nginx/conf.d/a.conf\"; \
             include \"/etc/nginx/conf.d/b.conf\"; include \"/etc/nginx/conf.d/.aegis/lb.conf\"; }"
        );
        let by_name = "http{include '/etc/nginx/conf.d/lb.conf';}";
        assert_eq!(
            staged(by_name),
            "http{include \"/etc/nginx/conf.d/.aegis/lb.conf\";}"
        );
    }

    #[test]
    fn what_concerns_other_files_stays_as_it_is() {
        for main in [
            "include /etc/nginx/sites/*.conf;",
            "include /etc/nginx/conf.d/more/*.conf;",
            "error_log /etc/nginx/conf.d/error;",
            "include /etc/nginx/conf.d.old/*.conf;",
        ] {
            assert_eq!(staged(main), main);
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
        let main = main_with_staged("include /c/*;", "/c", "lb.conf", &[]);
        assert_eq!(main, "include \"/c/.aegis/lb.conf\";");
    }
}
