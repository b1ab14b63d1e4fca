//! `/healthz`, `/readyz` and `/metrics`: for whatever keeps the daemon running. Nobody is asked who it is.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};

use super::{App, Shared};

pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

async fn healthz(State(app): Shared) -> impl IntoResponse {
    let health = app.control.status.health();
    (code(health.healthy), Json(health))
}

async fn readyz(State(app): Shared) -> impl IntoResponse {
    let readiness = app.control.status.readiness();
    (code(readiness.ready), Json(readiness))
}

async fn metrics(State(app): Shared) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match app.control.metrics.render() {
        Ok(text) => {
            let lost = app.history.lost();
            let own = format!(
                "# HELP avicuna_history_lost Records that the history could not keep.\n\
                 # TYPE avicuna_history_lost counter\navicuna_history_lost_total {lost}\n# EOF\n"
            );
            let sinks = super::sinks::metrics(&app).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "what waits for the sinks cannot be counted");
                String::new()
            });
            let own = format!("{sinks}{own}");
            (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], text.replace("# EOF\n", &own))
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], error.to_string())
        }
    }
}

fn code(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
