//! What runs inside a container by its own shell: fixed programs that get their parameters as arguments, so that nothing a
//! person or a model wrote is ever part of one.

/// Arguments: the live file, how many bytes come on standard input, nginx's main configuration.
pub const FAST_RELOAD: &str = include_str!("script/fast-reload.sh");

/// nginx was signalled to reload the file.
pub const RELOADED: i64 = 0;
/// nginx refuses the file; the one before is back in its place.
pub const REFUSED: i64 = 71;
/// nginx accepts the file, which is in its place, and could not be signalled to reload it. Any other code, such as that
/// of a container without a shell, says nothing: the steps are to be taken one by one.
pub const NOT_RELOADED: i64 = 72;
/// The command that runs [`FAST_RELOAD`].
pub fn fast_reload<'a>(live: &'a str, bytes: &'a str, main: &'a str) -> [&'a str; 7] {
    ["sh", "-c", FAST_RELOAD, "aegis-reload", live, bytes, main]
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
