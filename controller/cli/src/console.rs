//! Where output goes: standard output for results, standard error for remarks. Does I/O; formats nothing but colours.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use owo_colors::{OwoColorize, Style};

use crate::error::CliError;
use crate::global::Color;

/// Two sinks and whether they take colours. Cheap to clone; clones share the sinks.
#[derive(Clone)]
pub(crate) struct Console {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    err: Arc<Mutex<Box<dyn Write + Send>>>,
    colored: bool,
}

impl Console {
    /// Standard output and error of this process. In `auto`, colours need a terminal, and `NO_COLOR` turns them off.
    pub(crate) fn standard(color: Color) -> Self {
        let colored = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
        };
        Self {
            out: sink(io::stdout()),
            err: sink(io::stderr()),
            colored,
        }
    }

    /// Writes text as it is and flushes, so that a pipe or a person sees it at once.
    pub(crate) fn write(&self, text: &str) -> Result<(), CliError> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(CliError::Output)
    }

    /// Writes text and a line end.
    pub(crate) fn line(&self, text: impl fmt::Display) -> Result<(), CliError> {
        self.write(&format!("{text}\n"))
    }

    /// A remark on standard error. It is best effort: a closed standard error is no reason to fail.
    pub(crate) fn remark(&self, text: impl fmt::Display) {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(err, "{text}").unwrap_or_default();
    }

    /// The text in this style, where colours are on.
    pub(crate) fn paint(&self, text: impl fmt::Display, style: Style) -> String {
        if self.colored {
            text.style(style).to_string()
        } else {
            text.to_string()
        }
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("colored", &self.colored)
            .finish_non_exhaustive()
    }
}

fn sink(writer: impl Write + Send + 'static) -> Arc<Mutex<Box<dyn Write + Send>>> {
    Arc::new(Mutex::new(Box::new(writer)))
}

#[cfg(test)]
pub(crate) mod capture {
    use super::*;

    /// A buffer that a test reads back.
    #[derive(Clone, Default)]
    pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Console {
        /// A console without colours, and its output and remarks.
        pub(crate) fn captured() -> (Self, Buffer, Buffer) {
            let (out, err) = (Buffer::default(), Buffer::default());
            let console = Self {
                out: sink(out.clone()),
                err: sink(err.clone()),
                colored: false,
            };
            (console, out, err)
        }
    }
}
