//! The harness of the tests that show what users were promised: real containers, a real nginx, the real binaries.
//!
//! Owns worlds (a network, containers, a state directory and a controller each) and leaves nothing of them behind.
//! A harness fails by panicking with words, as that is how a test fails; nothing is ever skipped.

pub mod api;
pub mod arrivals;
pub mod binaries;
pub mod cleanup;
pub mod cockpit;
pub mod container;
pub mod controller;
pub mod ctl;
pub mod dashboard;
pub mod engine_events;
pub mod engine_proxy;
pub mod eventually;
pub mod faults;
pub mod grpc;
pub mod launch;
pub mod live;
pub mod load;
pub mod manifests;
pub mod model;
pub mod monitoring;
pub mod nginx;
pub mod own_engine;
pub mod process;
pub mod shape;
pub mod steady;
pub mod strict;
pub mod trace;
pub mod watch;
pub mod world;

pub use api::Api;
pub use container::Container;
pub use controller::Controller;
pub use eventually::{TIMEOUT, eventually};
pub use monitoring::Monitor;
pub use nginx::Nginx;
pub use own_engine::OwnEngine;
pub use world::World;
