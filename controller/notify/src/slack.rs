//! Slack: the incoming webhook, the app's Web API, and what people click. `signature` and `click` are pure, the others do
//! I/O.

pub(crate) mod app;
pub(crate) mod click;
pub(crate) mod clicks;
pub(crate) mod incoming;
pub(crate) mod signature;
pub(crate) mod socket;
