//! Which alerts belong together and who hears of them: bursts about one workload, what only follows from a sick
//! dependency, messages that come out of order, silences. Pure.

pub mod burst;
pub mod inhibition;
pub mod order;
pub mod silence;
