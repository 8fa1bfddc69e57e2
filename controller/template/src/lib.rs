//! Templates that people write (Tera), rendered within bounds: they read nothing of the process, and they come to an end.
//! What they repeat is counted, whatever they repeat over; what calls itself is counted, too, or is not there at all. What they
//! hold in variables is weighed, and so is what one step may make of it. Pure.

mod counted;
mod held;
mod read;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Write};

use tera::{Context, Filter, Tera, Value};

use counted::counted;
pub use read::read;

/// Longest template, bytes.
const TEMPLATE: usize = 256 << 10;
/// Longest text that comes of one, bytes.
const TEXT: usize = 1 << 20;
/// Most rounds of all its loops together.
const ROUNDS: u32 = 100_000;
/// Most inclusions of other templates together.
const INCLUSIONS: u32 = 64;
/// Largest range, numbers.
const RANGE: u64 = 10_000;
/// What is called in each round of a loop, with what it goes over there, and before each inclusion.
const ROUND: &str = "aegis_round";
const INCLUDED: &str = "aegis_included";
/// What is called after a variable was set, with its value.
const HELD: &str = "aegis_held";

thread_local! {
    /// Of the text that this thread renders.
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { rounds: 0, included: 0, held: 0 }) };
}

/// How much there was of it so far.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    rounds: u32,
    included: u32,
    /// Bytes of all values that were put into variables.
    held: usize,
}

/// Templates by name, which may include each other.
#[derive(Debug)]
pub struct Templates(Tera);

impl Default for Templates {
    fn default() -> Self {
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::new());
        tera.register_function("get_env", |_: &HashMap<String, Value>| -> tera::Result<Value> {
            Err(refused("get_env is not offered: a template reads no environment"))
        });
        tera.register_function("range", range);
        tera.register_function(
            ROUND,
            |arguments: &HashMap<String, Value>| -> tera::Result<Value> {
                bounded(arguments)?;
                let counted = COUNTED.get();
                let rounds = counted.rounds.saturating_add(1);
                COUNTED.set(Counted { rounds, ..counted });
                within(
                    counted.rounds,
                    ROUNDS,
                    "its loops have more than",
                    "rounds together",
                )
            },
        );
        tera.register_function(INCLUDED, |_: &HashMap<String, Value>| {
            let counted = COUNTED.get();
            let included = counted.included.saturating_add(1);
            COUNTED.set(Counted { included, ..counted });
            within(
                counted.included,
                INCLUSIONS,
                "it includes more than",
                "templates together",
            )
        });
        tera.register_function(
            HELD,
            |arguments: &HashMap<String, Value>| -> tera::Result<Value> {
                let counted = COUNTED.get();
                let weight = bounded(arguments)?;
                let held = counted.held.saturating_add(weight);
                COUNTED.set(Counted { held, ..counted });
                if held > held::VALUES {
                    let most = held::VALUES;
                    return Err(refused(format!(
                        "its variables are given more than {most} bytes together"
                    )));
                }
                Ok(Value::String(String::new()))
            },
        );
        held::weigh_filters(&mut tera);
        Self(tera)
    }
}

impl Templates {
    /// Adds one, or says what is wrong with it.
    pub fn add(&mut self, name: &str, template: &str) -> Result<(), tera::Error> {
        if template.len() > TEMPLATE {
            return Err(refused(format!("the template has more than {TEMPLATE} bytes")));
        }
        // What is wrong with it is said of the lines that its author wrote.
        self.0.add_raw_template(name, template)?;
        let counted = counted(template)?;
        self.0.add_raw_template(name, &counted)
    }

    /// Offers a filter of one's own.
    pub fn filter<F: Filter + 'static>(&mut self, name: &str, filter: F) {
        self.0.register_filter(name, filter);
    }

    /// The text that these values make of the template of this name.
    pub fn render(&self, name: &str, context: &Context) -> Result<String, tera::Error> {
        COUNTED.set(Counted::default());
        let mut text = Bounded(Vec::new());
        self.0.render_to(name, context, &mut text)?;
        String::from_utf8(text.0).map_err(|error| refused(error.to_string()))
    }
}

/// What the value weighs that a variable, or a round of a loop, has, unless that is too much.
fn bounded(arguments: &HashMap<String, Value>) -> tera::Result<usize> {
    let weight = arguments.get("value").map_or(0, held::weight);
    if weight > held::VALUE {
        let most = held::VALUE;
        return Err(refused(format!(
            "a variable holds more than {most} bytes, or is nested too deep"
        )));
    }
    Ok(weight)
}

/// Nothing, unless so many are too many.
fn within(counted: u32, most: u32, more: &str, what: &str) -> tera::Result<Value> {
    if counted >= most {
        return Err(refused(format!("{more} {most} {what}")));
    }
    Ok(Value::String(String::new()))
}

/// As Tera's own, up to a bound.
fn range(arguments: &HashMap<String, Value>) -> Result<Value, tera::Error> {
    let number = |name: &str, default: Option<u64>| match arguments.get(name) {
        Some(value) => value
            .as_u64()
            .ok_or_else(|| refused(format!("range: {name} must be a number of 0 or more"))),
        None => default.ok_or_else(|| refused(format!("range: {name} is missing"))),
    };
    let (start, end) = (number("start", Some(0))?, number("end", None)?);
    let step = number("step_by", Some(1))?;
    if start > end || step == 0 {
        return Err(refused("range: use start up to end, and step_by of 1 or more"));
    }
    if (end - start).div_ceil(step) > RANGE {
        return Err(refused(format!("range: it has more than {RANGE} numbers")));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((start..end).step_by(step).map(Value::from).collect())
}

fn refused(why: impl std::fmt::Display) -> tera::Error {
    tera::Error::msg(why)
}

/// A text that may become only so long.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > TEXT {
            return Err(io::Error::other(format!("the text has more than {TEXT} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
