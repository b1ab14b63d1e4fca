//! The daemon's interface over HTTP: streams are added, events read and heard live, windows looked into, while it runs.
//! Knows records, coverage and the reins of a running daemon; no models, no GStreamer. `docs/api.md` shows it to users.

mod allow;
mod api;
mod asyncapi;
pub mod auth;
mod extract;
mod history;
mod page;
mod problem;
mod rulebook;
mod rules;
mod serve;
mod tell;

pub use api::Reload;
pub use history::{HistoryConfig, HistoryError};
pub use problem::{FieldProblem, Problem};
pub use serve::{Parts, Server, ServerError};
pub use tell::{TellConfig, TellError};

/// The document that describes the interface, OpenAPI 3.1.
pub fn openapi() -> aide::openapi::OpenApi {
    api::describe().0
}
