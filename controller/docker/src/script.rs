//! What runs inside a container by its own shell: fixed programs that get their parameters as arguments, so that nothing a
//! person or a model wrote is ever part of one.

use std::hash::{BuildHasher as _, RandomState};

/// Arguments: the live file, nginx's main configuration. What it is to do comes on standard input: see [`ReloadRequest`].
pub const FAST_RELOAD: &str = include_str!("script/fast-reload.sh");

/// Nothing was touched, and it has ended.
pub const UNTOUCHED: i64 = 70;
/// nginx was signalled to reload the file.
pub const RELOADED: i64 = 0;
/// nginx refuses the file; the one before is back in its place.
pub const REFUSED: i64 = 71;
/// nginx accepts the file, which is in its place, and could not be signalled to reload it. Any other code, such as that
/// of a container without a shell, says nothing: the steps are to be taken one by one.
pub const NOT_RELOADED: i64 = 72;
/// Its input has ended, as with the connection that carried it.
pub const INPUT_ENDED: i64 = 74;
/// The command that runs [`FAST_RELOAD`], and goes on running until its input ends.
pub fn fast_reload<'a>(live: &'a str, main: &'a str, globals: &'a str) -> [&'a str; 7] {
    ["sh", "-c", FAST_RELOAD, "aegis-reload", live, main, globals]
}

/// One request to [`FAST_RELOAD`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadRequest {
    /// The word by which the end of the answer is known. Who writes what nginx prints cannot know it before.
    pub mark: String,
    /// What the script reads.
    pub input: Vec<u8>,
}

impl ReloadRequest {
    /// To put this text in the place of the live file.
    pub fn new(text: &str) -> Self {
        // The keys of each are random.
        let mark = format!("aegis-{:016x}", RandomState::new().hash_one(text));
        let mut input = format!("{} {mark}\n", text.len()).into_bytes();
        input.extend_from_slice(text.as_bytes());
        Self { mark, input }
    }

    /// The text that an input brings, if it is whole.
    pub fn text(input: &[u8]) -> Option<&[u8]> {
        let end = input.iter().position(|byte| *byte == b'\n')?;
        let (head, rest) = input.split_at_checked(end)?;
        let (bytes, _mark) = std::str::from_utf8(head).ok()?.split_once(' ')?;
        rest.get(1..)?.get(..bytes.parse::<usize>().ok()?)
    }
}

/// Arguments: the file, how many bytes come on standard input. For a file that cannot be replaced; one that is no file, or a
/// link, is not written.
/// All of it is read before the file is touched, and what it had is written back where it cannot be written whole.
pub const WRITE_IN_PLACE: &str = r#"export LC_ALL=C
[ -f "$1" ] && ! [ -L "$1" ] || exit 1
new=$(head -c "$2"; printf x)
[ "${#new}" -eq $(($2 + 1)) ] || exit 1
old=$(cat "$1"; printf x)
printf %s "${new%x}" >"$1" && exit 0
printf %s "${old%x}" >"$1"
exit 1"#;

/// The command that runs [`WRITE_IN_PLACE`].
pub fn write_in_place<'a>(live: &'a str, bytes: &'a str) -> [&'a str; 6] {
    ["sh", "-c", WRITE_IN_PLACE, "aegis-write", live, bytes]
}

/// A command as it is named in errors and logs: a script by its name.
pub fn shown(command: &[&str]) -> String {
    match command {
        ["sh", "-c", _, name, ..] => (*name).to_owned(),
        _ => command.join(" "),
    }
}

#[cfg(test)]
mod tests;
