//! `/v1/windows`: what the model said of each window. Why something was told, and why nothing was.

use aide::transform::TransformOperation;
use avicuna_pipeline::record::WindowRecord;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::coverage::Filter;
use super::{Shared, limit, span};
use crate::extract::Params;
use crate::history::query;
use crate::problem::Problem;

const PAGE: usize = 100;
const MOST: usize = 10_000;

/// Windows, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Windows {
    /// Each with every answer and score, also those that were too unsure to be told.
    windows: Vec<WindowRecord>,
}

pub async fn list(State(app): Shared, Params(filter): Params<Filter>) -> Result<Json<Windows>, Problem> {
    let limit = limit(filter.limit, PAGE, MOST)?;
    let span = span(filter.from.as_deref(), filter.to.as_deref())?;
    let windows = app.history.read(move |file| query::windows(file, filter.stream, span, limit)).await?;
    Ok(Json(Windows { windows }))
}

pub fn list_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("listWindows")
        .tag("windows")
        .summary("Every window's answers and scores, also what was too unsure to be told")
        .response::<400, Problem>()
}
