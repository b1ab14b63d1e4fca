//! What the daemon says of itself over HTTP: `/healthz`, `/readyz` and `/metrics`. `docs/operations.md` explains each.

mod metrics;
mod process;
mod status;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use metrics::{Metrics, Stage, StreamMetrics};
pub use status::{Health, ModelState, Readiness, Status, StreamState};

/// What there is to tell; shared by everything that runs.
#[derive(Debug)]
pub struct Control {
    /// Counters and histograms.
    pub metrics: Metrics,
    /// What works and what does not.
    pub status: Status,
}

impl Control {
    /// Nothing runs yet.
    #[expect(clippy::new_without_default, reason = "it is no value, it is made once")]
    pub fn new() -> Self {
        Self { metrics: Metrics::new(), status: Status::default() }
    }
}

/// Answers probes until `shutdown`.
pub async fn serve(listener: TcpListener, control: Arc<Control>, shutdown: CancellationToken) {
    let served = axum::serve(listener, router(control)).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the control server failed; probes and metrics are not answered any more");
    }
}

fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(control)
}

async fn healthz(State(control): State<Arc<Control>>) -> impl IntoResponse {
    let health = control.status.health();
    (code(health.healthy), Json(health))
}

async fn readyz(State(control): State<Arc<Control>>) -> impl IntoResponse {
    let readiness = control.status.readiness();
    (code(readiness.ready), Json(readiness))
}

async fn metrics(State(control): State<Arc<Control>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match control.metrics.render() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], error.to_string())
        }
    }
}

fn code(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
