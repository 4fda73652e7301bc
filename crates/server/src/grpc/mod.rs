//! The gRPC port: its own accept loop over hyper.
//!
//! ```text
//! socket ─► connection (limits, pings, GOAWAY) ─┬─► /TaskHubSidecarService/…   straight to the service; those that last can be ended
//!                                               └─► anything else             health, reflection, probes
//! ```
//!
//! tonic's own server would put a router and five layers before each call, and would neither bound connections nor
//! end those that outlive a graceful stop.

mod connections;
mod lasting;
mod services;
#[cfg(test)]
mod tests;
mod traced;

pub use connections::{CallService, GrpcServer};
pub use lasting::{Ending, Endings, Lasting, LastingAnswer};
pub use services::{Answer, Services, side_routes};
pub use traced::{Traced, TracedAnswer};
