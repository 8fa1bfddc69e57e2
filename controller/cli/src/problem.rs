//! What is wrong with a file, and where. Pure.

use std::fmt;

use aegis_api::yaml::Position;

/// One thing that is wrong with a file. Display: `web.yaml:7:3: spec.replicaz: unknown field …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) source: String,
    pub(crate) position: Option<Position>,
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}
