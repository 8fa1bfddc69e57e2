//! The whole reconciler on the engine in memory. What is decided is tested where it is: in the planner.

mod compose;
mod foreseen;
mod host;
mod probes;
mod slow_stops;
mod stopped;
mod stops;
mod undone;
mod values;
