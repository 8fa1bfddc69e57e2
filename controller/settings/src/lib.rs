//! How our programs read their flags and their environment. Owns one rule: a variable that is set to nothing is not set,
//! as Compose and systemd hand on variables that have no value. Knows no setting. Reads the environment, nothing else.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::{Command, CommandFactory, Parser};

/// Parses the command line as [`Parser::parse`] does, and takes only those variables that hold something.
pub fn parse<A: Parser>() -> A {
    let mut command = without_empty::<A>(|name| std::env::var_os(name));
    let mut matches = command.clone().get_matches();
    match A::from_arg_matches_mut(&mut matches) {
        Ok(args) => args,
        Err(error) => error.format(&mut command).exit(),
    }
}

/// A variable that is set, and not to nothing.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|text| !is_empty(OsStr::new(text)))
}

/// The command without its ties to variables that are empty.
fn without_empty<A: CommandFactory>(variable: impl Fn(&OsStr) -> Option<OsString>) -> Command {
    A::command().mut_args(|arg| {
        let empty = arg
            .get_env()
            .and_then(&variable)
            .is_some_and(|value| is_empty(&value));
        if empty { arg.env(Resettable::Reset) } else { arg }
    })
}

fn is_empty(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Args {
        #[arg(long, env = "ONE", default_value_t = 7)]
        _one: u8,
        #[arg(long, env = "TWO")]
        _two: Option<u8>,
        #[arg(long)]
        _three: bool,
    }

    #[test]
    fn only_variables_that_hold_something_are_read() {
        let tied = |one: &'static str, two: &'static str| -> Vec<String> {
            let command = without_empty::<Args>(|name| {
                let value = if name == "ONE" { one } else { two };
                (value != "unset").then(|| value.into())
            });
            let names = command.get_arguments().filter_map(|arg| arg.get_env());
            names.map(|name| name.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(tied("1", "unset"), ["ONE", "TWO"]);
        assert_eq!(tied("", "0"), ["TWO"]);
        assert_eq!(tied(" \t\n", ""), [""; 0]);
    }

    #[test]
    fn a_variable_of_nothing_is_none() {
        assert!(!is_empty(OsStr::new("0")) && is_empty(OsStr::new("")) && is_empty(OsStr::new("  ")));
        assert_eq!(variable("AEGIS_NO_SUCH_VARIABLE"), None);
    }
}
