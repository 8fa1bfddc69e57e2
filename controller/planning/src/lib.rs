//! Everything that decides: what was observed and what is desired in, a plan or a verdict out. Pure: no engine, no store,
//! no clock but the one that is handed in, no tokio. What reads and what acts is in `aegis-reconcilers`.

pub mod addressing;
pub mod admission;
pub mod autoscale;
pub mod correlation;
pub mod council;
pub mod covering;
pub mod detection;
pub mod governing;
pub mod hold;
pub mod host_limit;
pub mod host_reading;
pub mod incident;
mod invalid;
pub mod ledger;
pub mod load_balancer;
pub mod probe;
pub mod restart;
pub mod serving;
pub mod set_back;
pub mod urgency;
pub mod workload;

pub use invalid::Invalid;
