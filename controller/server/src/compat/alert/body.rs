//! The body of an alert as JSON in which a key that is there twice does not go unnoticed: parsers differ in which of the
//! two they take, so that two of them on the way could read two different alerts. Pure.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Most keys that are noted.
pub(crate) const NOTED: usize = 64;
/// A JSON object, and what was ambiguous in it.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) fields: Map<String, Value>,
    /// Paths of keys that were there twice with different values, key by key. The last value counts.
    pub(super) twice: Vec<Vec<String>>,
}

/// Any JSON value, and the paths of keys that were there twice with different values.
pub(crate) fn read(bytes: &[u8]) -> Result<(Value, Vec<Vec<String>>), serde_json::Error> {
    let twice = RefCell::default();
    let seed = Noting {
        at: None,
        twice: &twice,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, twice.into_inner()))
}

impl Body {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let (value, twice) = read(bytes)?;
        let fields = match value {
            Value::Object(fields) => fields,
            // Says what is there instead of an object.
            other => Map::deserialize(other)?,
        };
        Ok(Self { fields, twice })
    }
}

/// Where a value stands.
struct At<'a> {
    key: &'a str,
    above: Option<&'a At<'a>>,
}

impl At<'_> {
    fn path(&self) -> Vec<String> {
        let mut path = self.above.map(At::path).unwrap_or_default();
        path.push(self.key.to_owned());
        path
    }
}

#[derive(Clone, Copy)]
struct Noting<'a> {
    at: Option<&'a At<'a>>,
    twice: &'a RefCell<Vec<Vec<String>>>,
}

impl<'de> DeserializeSeed<'de> for Noting<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Noting<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = At {
                key: &key,
                above: self.at,
            };
            let inner = Noting {
                at: Some(&at),
                twice: self.twice,
            };
            let value = entries.next_value_seed(inner)?;
            let mut twice = self.twice.borrow_mut();
            if map.get(&key).is_some_and(|earlier| *earlier != value) && twice.len() < NOTED {
                twice.push(at.path());
            }
            drop(twice);
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_there_twice_are_noted_by_their_path_unless_both_say_the_same() {
        let read = |text: &str| -> Vec<String> {
            let twice = Body::read(text.as_bytes()).unwrap().twice;
            twice.iter().map(|path| path.join(".")).collect()
        };
        assert_eq!(
            read(r#"{"a":1,"a":2,"b":{"c":"x","c":"y","d":null,"d":null}}"#),
            ["a", "b.c"]
        );
        assert_eq!(
            read(r#"{"a":[{"b":1,"b":[]}],"c":{"d":{"e":1,"e":{}}}}"#),
            ["a.b", "c.d.e"]
        );
        assert!(read(r#"{"a":1,"a":1,"A":2,"b":{"a":3}}"#).is_empty());
        assert!(read(&format!("{{{}}}", vec![r#""a":1,"a":2"#; 2 * NOTED].join(","))).len() <= NOTED);
    }

    #[test]
    fn everything_else_reads_as_serde_json_reads_it() {
        let text = r#"{"a":[1,-2,1.5,18446744073709551615,true,null,"x\u00e9"],"b":{"c":{}},"d":1e3}"#;
        let read = Body::read(text.as_bytes()).unwrap();
        assert_eq!(
            Value::Object(read.fields),
            serde_json::from_str::<Value>(text).unwrap()
        );
        for wrong in ["", "[]", "7", "{\"a\":1} x", "{\"a\":}", &"[".repeat(500)] {
            assert!(Body::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
