//! Errors as people read them. Pure.

use std::error::Error;

/// An error with all its causes, `outermost: …: innermost`; what one says that stands there already is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

/// What the innermost cause says, which is what a person can act on: `connection refused`, not `error sending request`.
pub fn root_cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Step {
        words: &'static str,
        source: Option<Box<Step>>,
    }

    fn steps(words: &[&'static str]) -> Step {
        let (first, rest) = words.split_first().unwrap();
        Step {
            words: first,
            source: (!rest.is_empty()).then(|| Box::new(steps(rest))),
        }
    }

    #[test]
    fn every_cause_is_said_once_and_the_innermost_can_be_asked_for() {
        let error = steps(&[
            "cannot store web",
            "write failed: disk full",
            "disk full",
            "os error 28",
        ]);
        assert_eq!(
            chain(&error),
            "cannot store web: write failed: disk full: os error 28"
        );
        assert_eq!(root_cause(&error), "os error 28");
        assert_eq!(chain(&steps(&["alone"])), "alone");
        assert_eq!(root_cause(&steps(&["alone"])), "alone");
    }
}
