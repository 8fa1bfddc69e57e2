//! What can be measured, in bounded rings: containers' counters, what happened to them and who made it happen, and the
//! host. Owns the rings and the file that the coarse one survives in; judges nothing (see `aegis-planning`), and changes
//! nothing but that file. Does I/O through the engine, `/proc` and the state directory.

pub mod collector;
pub mod host;
pub mod journal;
pub mod lifecycle;
pub mod rings;
pub mod traffic;
