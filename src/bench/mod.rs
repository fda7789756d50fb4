//! The load generator of `torchfront bench`: offers load to any HTTP/1.1 URL and says what came back.
//!
//! Called by `commands/bench.rs`. It shares nothing with the server, so that it measures other
//! servers in the same way.
//!
//! ```text
//! plan.rs       what to do, checked             target.rs    whom to call
//! arrivals.rs   when requests are due; PURE     pacer.rs     lets requests go when they are due
//! load.rs       one run: open or closed loop    exchange.rs  one request and its answer
//! recording.rs  what is counted                 report.rs    the figures of one run
//! knee.rs       the highest rate that is served well
//! chart.rs      figures as SVG
//! ```
//!
//! # Open loop
//!
//! Requests are due at times that do not depend on the answers, as users are. The latency of a request
//! runs from the time at which it was due, not from the time at which a connection was free: a server
//! that stops for a second delays everybody who came in that second, and the percentiles show it. A
//! closed loop waits with the server and counts one slow answer per connection ("coordinated
//! omission"). `tests/it/bench.rs` shows the difference with a server that stalls on purpose.
//!
//! Every request that was due ends as exactly one of: ok, an error of a class, unsent.

mod arrivals;
mod chart;
mod error;
mod exchange;
mod knee;
mod load;
mod pacer;
mod plan;
mod recording;
mod report;
mod target;

pub use arrivals::Arrivals;
pub use chart::{knee_chart, run_chart};
pub use error::BenchError;
pub use exchange::Requests;
pub use knee::{Knee, KneeSearch, Step, Verdict};
pub use load::{Progress, run, runtime};
pub use plan::{Load, Plan, RequestPlan};
pub use report::Report;
pub use target::Target;
