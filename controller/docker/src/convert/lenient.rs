//! Reads what is wanted of a JSON document while it is parsed: no tree of the rest is built. What has another type than is
//! expected reads as nothing, as an absent field does: one odd field must not hide all others. Pure.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What a value means; by default nothing.
pub(super) trait Lenient<'de>: Default {
    fn of_number(_number: i128) -> Self {
        Self::default()
    }

    fn of_text(_text: &str) -> Self {
        Self::default()
    }

    fn of_items<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    /// The entries of an object; those that are not read are to be skipped.
    fn of_entries<A: MapAccess<'de>>(mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// A value that is read so.
pub(super) struct Read<T>(pub(super) T);

impl<'de, T: Lenient<'de>> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader(PhantomData)).map(Read)
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::of_number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::of_number(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::of_text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::of_items(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
        T::of_entries(entries)
    }
}

/// A count; 0 where there is none.
impl Lenient<'_> for u64 {
    fn of_number(number: i128) -> Self {
        Self::try_from(number).unwrap_or_default()
    }
}

/// A count, where there is one.
impl Lenient<'_> for Option<u64> {
    fn of_number(number: i128) -> Self {
        u64::try_from(number).ok()
    }
}

impl Lenient<'_> for i64 {
    fn of_number(number: i128) -> Self {
        Self::try_from(number).unwrap_or_default()
    }
}

impl Lenient<'_> for String {
    fn of_text(text: &str) -> Self {
        text.to_owned()
    }
}

/// A list, with what each of its items means.
impl<'de, T: Lenient<'de>> Lenient<'de> for Vec<T> {
    fn of_items<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut all = Self::new();
        while let Some(Read(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(all)
    }
}

/// The next key of an object.
pub(super) fn key<'de, A: MapAccess<'de>>(entries: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(entries.next_key::<Key<'de>>()?.map(|key| key.0))
}

/// The value of a key, for `field`.
pub(super) fn fill<'de, A: MapAccess<'de>, T: Lenient<'de>>(
    field: &mut T,
    entries: &mut A,
) -> Result<(), A::Error> {
    *field = entries.next_value::<Read<T>>()?.0;
    Ok(())
}

/// Passes over the value of a key.
pub(super) fn skip<'de, A: MapAccess<'de>>(entries: &mut A) -> Result<(), A::Error> {
    entries.next_value::<IgnoredAny>().map(|_| ())
}

/// A key, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(KeyReader)
    }
}

struct KeyReader;

impl<'de> Visitor<'de> for KeyReader {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}
