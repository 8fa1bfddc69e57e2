//! Shapes of JSON as a client written long ago expects them: every key that it reads is there and of its type. Further
//! keys are found too, so that a shape that is promised to be exact can be.

use serde_json::Value;

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Any text.
    Text,
    /// A text of at most so many characters.
    TextTo(usize),
    /// A moment: RFC 3339 with a zone, which every language's library reads.
    Moment,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Exactly this text.
    Is(&'static str),
    /// Any number.
    Number,
    /// A number from 0 to 1.
    Share,
    /// A number from 0 to 1, with four decimals at most.
    Score,
    /// A whole number, 0 or more.
    Count,
    /// `true` or `false`.
    Truth,
    /// Null, or this.
    OrNull(&'static Shape),
    /// A list of these.
    List(&'static Shape),
    /// An object with exactly these keys.
    Object(&'static [(&'static str, Shape)]),
    /// An object with these keys and any others.
    Open(&'static [(&'static str, Shape)]),
    /// Whatever it is.
    Anything,
}

impl Shape {
    /// What is not as it should be, each with its place; nothing if all is well.
    pub fn faults(self, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check("$", value, &mut faults);
        faults
    }

    /// Panics unless the value has this shape.
    pub fn of(self, what: &str, value: &Value) {
        let faults = self.faults(value);
        assert!(faults.is_empty(), "{what}: {}\n{value:#}", faults.join("; "));
    }

    fn check(self, place: &str, value: &Value, faults: &mut Vec<String>) {
        let text = value.as_str();
        let number = value.as_f64();
        let fine = match self {
            Self::Text => text.is_some(),
            Self::TextTo(longest) => text.is_some_and(|text| text.chars().count() <= longest),
            Self::Moment => text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
            Self::Word(words) => text.is_some_and(|text| words.contains(&text)),
            Self::Is(wanted) => text == Some(wanted),
            Self::Number => number.is_some(),
            Self::Share => number.is_some_and(|number| (0.0..=1.0).contains(&number)),
            Self::Score => number.is_some_and(|number| {
                (0.0..=1.0).contains(&number) && (number * 1e4 - (number * 1e4).round()).abs() < 1e-6
            }),
            Self::Count => value.is_u64(),
            Self::Truth => value.is_boolean(),
            Self::Anything => true,
            Self::OrNull(shape) => {
                if !value.is_null() {
                    shape.check(place, value, faults);
                }
                true
            }
            Self::List(shape) => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    shape.check(&format!("{place}[{index}]"), item, faults);
                }
                value.is_array()
            }
            Self::Object(keys) | Self::Open(keys) => {
                let exact = matches!(self, Self::Object(_));
                Self::fields(place, value, keys, exact, faults);
                value.is_object()
            }
        };
        if !fine {
            faults.push(format!("{place} is {value}, not {self:?}"));
        }
    }

    fn fields(
        place: &str,
        value: &Value,
        keys: &[(&'static str, Self)],
        exact: bool,
        faults: &mut Vec<String>,
    ) {
        for (key, shape) in keys {
            match value.get(key) {
                Some(field) => shape.check(&format!("{place}.{key}"), field, faults),
                None => faults.push(format!("{place}.{key} is missing")),
            }
        }
        let others = value.as_object().into_iter().flatten();
        for (key, _) in others.filter(|(key, _)| exact && keys.iter().all(|(known, _)| known != key)) {
            faults.push(format!("{place}.{key} is not in the contract"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ROW: Shape = Shape::Object(&[("a", Shape::Count), ("b", Shape::OrNull(&Shape::Text))]);

    #[test]
    fn faults_name_their_place() {
        assert_eq!(ROW.faults(&json!({"a": 1, "b": null})), Vec::<String>::new());
        let faults = Shape::List(&ROW).faults(&json!([{"a": -1, "b": "x"}, {"b": 2, "c": 3}]));
        assert_eq!(
            faults,
            [
                "$[0].a is -1, not Count",
                "$[1].a is missing",
                "$[1].b is 2, not Text",
                "$[1].c is not in the contract"
            ]
        );
        assert_eq!(Shape::Score.faults(&json!(0.12345)).len(), 1);
        assert_eq!(Shape::Score.faults(&json!(0.1235)).len(), 0);
    }
}
