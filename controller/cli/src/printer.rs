//! How results look. Everything below is pure: values in, text out; every text from the server is made safe for a
//! terminal on its way.

pub(crate) mod age;
pub(crate) mod columns;
pub(crate) mod describe;
pub(crate) mod feed;
pub(crate) mod format;
pub(crate) mod jsonpath;
pub(crate) mod table;
