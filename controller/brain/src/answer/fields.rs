//! The fields of an answer, each read into its type or into an error that names it. Pure.

use serde_json::Value;

use super::object::{self, Pairs};
use super::schema::{Kind, Schema};
use super::{FAULTS, Fault};
use crate::redact::{bound, redact};

/// How much of a wrong value is quoted, in characters.
const QUOTED: usize = 60;

/// An answer being read.
#[derive(Debug)]
pub(super) struct Fields {
    schema: &'static Schema,
    values: Vec<(&'static str, Value)>,
    faults: Vec<Fault>,
}

impl Fields {
    /// Finds the answer in `text`. Unknown fields and fields that come twice are errors already.
    pub(super) fn read(text: &str, schema: &'static Schema) -> Result<Self, Vec<Fault>> {
        let Pairs(pairs) = object::find(text, schema).map_err(|fault| vec![fault])?;
        let mut fields = Self {
            schema,
            values: Vec::new(),
            faults: Vec::new(),
        };
        for (key, value) in pairs {
            let known = schema
                .fields
                .iter()
                .find(|field| field.is_called(&key))
                .map(|field| field.name);
            match known {
                None => fields.fault(&quoted(&key), "there is no such field"),
                Some(name) if fields.values.iter().any(|(taken, _)| *taken == name) => {
                    fields.fault(name, "given twice");
                }
                Some(name) => fields.values.push((name, value)),
            }
        }
        Ok(fields)
    }

    /// A text that says something, of at most `most` characters. Secrets and control characters do not survive.
    pub(super) fn text(&mut self, name: &'static str, most: usize) -> Option<String> {
        let value = self.take(name)?;
        let Value::String(text) = value else {
            return self.wrong(name, &value, "use a text");
        };
        let clean = bound(&redact(&text), usize::MAX);
        if clean.trim().is_empty() {
            self.fault(name, "empty");
            return None;
        }
        if clean.chars().count() > most {
            self.fault(name, format!("longer than {most} characters"));
            return None;
        }
        Some(clean)
    }

    /// One of a closed set, in any case.
    pub(super) fn choice<T>(&mut self, name: &'static str, known: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.take(name)?;
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Bool(yes) => yes.to_string(),
            _ => String::new(),
        };
        // What is no letter and no digit in the middle parts words; around them it is decoration.
        let plain = text.trim_matches(|c: char| !c.is_alphanumeric());
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let canonical = if plain.chars().all(is_part) { plain } else { "" };
        match known(canonical) {
            Some(choice) => Some(choice),
            None => {
                let names = self.schema.fields.iter().find(|field| field.name == name);
                let names = match names.map(|field| &field.kind) {
                    Some(Kind::OneOf(names)) => names.join(", "),
                    _ => String::new(),
                };
                self.wrong(name, &value, &format!("use one of {names}"))
            }
        }
    }

    /// A share of one: 0.85, `"0.85"`, `"0,85"`, 85, `"85%"`, `"17/20"`.
    pub(super) fn share(&mut self, name: &'static str) -> Option<f64> {
        let value = self.take(name)?;
        let (number, percent) = match &value {
            Value::Number(number) => (number.as_f64(), false),
            Value::String(text) => {
                let text = text.trim();
                let percent = text.strip_suffix('%').or_else(|| text.strip_suffix("percent"));
                match percent {
                    Some(number) => (decimal(number.trim()), true),
                    None => (decimal(text).or_else(|| fraction(text)), false),
                }
            }
            _ => (None, false),
        };
        let share = number.map(|number: f64| {
            // Between 1 and 2 a share that is too great cannot be distinguished from a percentage.
            if percent || number >= 2.0 {
                number / 100.0
            } else {
                number
            }
        });
        match share.filter(|share| (0.0..=1.0).contains(share)) {
            Some(share) => Some(share),
            None => self.wrong(name, &value, "use a number from 0 to 1"),
        }
    }

    /// A whole number from 0 to `most`.
    pub(super) fn whole(&mut self, name: &'static str, most: u32) -> Option<u32> {
        let value = self.take(name)?;
        let number = match &value {
            // Some models write 2.0.
            Value::Number(number) => number.to_string().trim_end_matches(".0").parse::<u32>().ok(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|number| *number <= most) {
            Some(number) => Some(number),
            None => self.wrong(name, &value, &format!("use a whole number from 0 to {most}")),
        }
    }

    /// Adds an error.
    pub(super) fn fault(&mut self, field: &str, problem: impl Into<String>) {
        if self.faults.len() < FAULTS {
            self.faults.push(Fault::new(field, problem));
        }
    }

    /// All errors, if there are any.
    pub(super) fn done(&mut self) -> Result<(), Vec<Fault>> {
        let faults = std::mem::take(&mut self.faults);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        let at = self.values.iter().position(|(known, _)| *known == name);
        let value = at
            .map(|at| self.values.swap_remove(at).1)
            .filter(|value| !value.is_null());
        if value.is_none() {
            self.fault(name, "missing");
        }
        value
    }

    fn wrong<T>(&mut self, name: &str, value: &Value, wanted: &str) -> Option<T> {
        let value = match value {
            Value::String(text) => format!("{:?}", quoted(text)),
            other => quoted(&other.to_string()),
        };
        self.fault(name, format!("{value} is not possible: {wanted}"));
        None
    }
}

/// A number, also with a comma before its decimals. `1,000` may be a thousand and may be one: it is no number here.
fn decimal(text: &str) -> Option<f64> {
    let Some((whole, part)) = text.split_once(',') else {
        return text.parse().ok();
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let clear = whole == "0" || part.len() != 3;
    (clear && digits(whole) && digits(part)).then(|| format!("{whole}.{part}").parse().ok())?
}

/// `9/10`: so many of so many, of which there are at most a hundred.
fn fraction(text: &str) -> Option<f64> {
    let (part, of) = text.split_once('/')?;
    let (part, of): (u8, u8) = (part.trim().parse().ok()?, of.trim().parse().ok()?);
    ((2..=100).contains(&of) && part <= of).then(|| f64::from(part) / f64::from(of))
}

fn quoted(text: &str) -> String {
    let short: String = redact(text).chars().take(QUOTED).collect();
    bound(&short, QUOTED)
}
