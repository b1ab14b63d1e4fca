//! `/v1/streams/{id}/health` and `/v1/streams/{id}/snapshot.jpg`: how a stream is, and what it looks like.

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use avicuna_pipeline::control::StreamStatus;
use avicuna_pipeline::picture;
use avicuna_pipeline::timeline::UtcTime;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::streams::{StreamPath, known};
use crate::history::{Span, query};
use crate::problem::Problem;

/// How long `health` looks back.
const LOOK_BACK: f64 = 3600.0;
/// Coverage records of an hour: one a window, at the shortest hops.
const SPANS: usize = 8000;

/// How a stream is, and was.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// Its id.
    id: String,
    /// Now; null before it began, and while it is not enabled.
    #[serde(flatten)]
    status: Option<StreamStatus>,
    /// What was watched of it in the last hour.
    coverage: Watched,
}

/// How much was watched.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Watched {
    /// Seconds.
    watched: f64,
    /// Seconds.
    not_watched: f64,
    /// Seconds that were not watched, by reason.
    reasons: BTreeMap<String, f64>,
}

pub async fn health(State(app): Shared, Path(path): Path<StreamPath>) -> Result<Json<Health>, Problem> {
    known(&app, &path.id)?;
    let (id, stream) = (path.id.clone(), path.id);
    let from = UtcTime::now().offset(-(LOOK_BACK * 1e9) as i64);
    let span = Span { from: Some(from), to: None };
    let spans = app.history.read(move |file| query::coverage(file, Some(stream), span, SPANS)).await?;
    let mut coverage = Watched::default();
    for span in spans {
        let seconds = span.end.stream - span.start.stream;
        if span.watched {
            coverage.watched += seconds;
        } else {
            coverage.not_watched += seconds;
            *coverage.reasons.entry(span.reason.unwrap_or_default()).or_default() += seconds;
        }
    }
    let status = app.control.status.streams.status(&id);
    Ok(Json(Health { id, status, coverage }))
}

pub fn health_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("streamHealth")
        .tag("streams")
        .summary("How a stream is, and what was watched of it in the last hour")
        .response::<404, Problem>()
}

pub async fn snapshot(State(app): Shared, Path(path): Path<StreamPath>) -> Result<Response, Problem> {
    known(&app, &path.id)?;
    let Some((frame, captured)) = app.control.status.streams.picture(&path.id) else {
        return Err(Problem::not_found("no picture has come yet"));
    };
    let encode = move || picture::jpeg(&frame);
    let encoded =
        tokio::task::spawn_blocking(encode).await.map_err(|_| Problem::unavailable("it is stopping"))?;
    let encoded = encoded.map_err(|error| Problem::unavailable(error.to_string()))?;
    let captured = captured.to_rfc3339();
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-captured"), captured.as_str()),
    ];
    Ok((headers, encoded).into_response())
}

pub fn snapshot_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("streamSnapshot")
        .tag("streams")
        .summary("The newest picture, as the model sees it")
        .response_with::<200, (), _>(|mut response| {
            response.inner().content = [("image/jpeg".to_owned(), Default::default())].into_iter().collect();
            response.description("JPEG; `X-Captured` says when it was captured")
        })
        .response::<404, Problem>()
}
