//! `/v1/coverage`: what was watched.

use aide::transform::TransformOperation;
use avicuna_pipeline::record::CoverageRecord;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Shared, limit, span};
use crate::extract::Params;
use crate::history::query;
use crate::problem::Problem;

const PAGE: usize = 1000;
const MOST: usize = 10_000;

/// Which spans of time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of one stream.
    pub stream: Option<String>,
    /// What ends before this is left out; RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub from: Option<String>,
    /// What starts then or later is left out; RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub to: Option<String>,
    /// At most so many, 1 to 10000; 1000 by default.
    #[schemars(range(min = 1, max = 10000))]
    pub limit: Option<usize>,
}

/// Spans, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Coverage {
    /// For each stream without hole or overlap.
    coverage: Vec<CoverageRecord>,
}

pub async fn list(State(app): Shared, Params(filter): Params<Filter>) -> Result<Json<Coverage>, Problem> {
    let limit = limit(filter.limit, PAGE, MOST)?;
    let span = span(filter.from.as_deref(), filter.to.as_deref())?;
    let coverage = app.history.read(move |file| query::coverage(file, filter.stream, span, limit)).await?;
    Ok(Json(Coverage { coverage }))
}

pub fn list_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("listCoverage")
        .tag("coverage")
        .summary("What was watched, and why the rest was not")
        .response::<400, Problem>()
}
