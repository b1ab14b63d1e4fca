//! `/v1/events/{id}/review`: what a person says of an event.

use aide::transform::TransformOperation;
use avicuna_pipeline::record::EventRecord;
use avicuna_pipeline::record::review::{NewReview, Review, Reviewed, Reviews, Verdict};
use avicuna_pipeline::timeline::UtcTime;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Shared, limit};
use crate::extract::{Body, Params};
use crate::history::query;
use crate::problem::{FieldProblem, Problem};

const PAGE: usize = 1000;
const MOST: usize = 100_000;

/// Which event.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct EventPath {
    /// Its id.
    pub id: String,
}

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// At most so many, 1 to 100000; 1000 by default.
    #[schemars(range(min = 1, max = 100000))]
    limit: Option<usize>,
}

/// What is wrong with a review of this event.
fn problems(said: &NewReview, event: &EventRecord) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let mut wrong = |pointer: &str, message: &str| {
        problems.push(FieldProblem { pointer: pointer.to_owned(), message: message.to_owned() });
    };
    let says = said.label.is_some() || said.start.is_some() || said.end.is_some();
    if (said.verdict == Verdict::Corrected) != says {
        wrong("/verdict", "\"corrected\" goes with label, start or end, and they with it");
    }
    if said.label.as_ref().is_some_and(|label| label.trim().is_empty() || label.len() > 500) {
        wrong("/label", "must be 1 to 500 bytes");
    }
    let start = said.start.unwrap_or(event.start.stream);
    let end = said.end.unwrap_or(event.end.stream);
    // NaN is no time either.
    if !(start.is_finite() && end.is_finite() && start <= end) {
        wrong(if said.start.is_some() { "/start" } else { "/end" }, "it must not end before it starts");
    }
    problems
}

pub async fn review(
    State(app): Shared,
    Path(path): Path<EventPath>,
    Body(said): Body<NewReview>,
) -> Result<Json<Review>, Problem> {
    let id = path.id.clone();
    let Some(event) = app.history.read(move |file| query::event(file, &id)).await? else {
        return Err(Problem::not_found(format!("there is no event \"{}\", or not any more", path.id)));
    };
    let problems = problems(&said, &event);
    if !problems.is_empty() {
        return Err(Problem::unprocessable(problems));
    }
    let now = UtcTime::now();
    let review = Review { said, reviewed: now.to_rfc3339() };
    let kept = review.clone();
    app.history
        .change(move |file| query::keep_review(file, &event, &serde_json::to_string(&kept)?, now))
        .await?;
    Ok(Json(review))
}

pub fn review_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("reviewEvent")
        .tag("reviews")
        .summary("Say whether an event was right")
        .description("The last word counts.")
        .response::<404, Problem>()
        .response::<422, Problem>()
}

pub async fn withdraw(State(app): Shared, Path(path): Path<EventPath>) -> Result<StatusCode, Problem> {
    app.history.change(move |file| Ok(query::forget_review(file, &path.id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub fn withdraw_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("withdrawReview")
        .tag("reviews")
        .summary("Take back what was said of an event")
        .response_with::<204, (), _>(|response| response.description("there is no review"))
}

pub async fn list(State(app): Shared, Params(filter): Params<Filter>) -> Result<Json<Reviews>, Problem> {
    let limit = limit(filter.limit, PAGE, MOST)?;
    let kept = app.history.read(move |file| query::reviews(file, limit)).await?;
    let reviewed = |(event, review): (EventRecord, String)| {
        Ok::<_, Problem>(Reviewed {
            event,
            review: serde_json::from_str(&review).map_err(crate::history::HistoryError::from)?,
        })
    };
    Ok(Json(Reviews { reviews: kept.into_iter().map(reviewed).collect::<Result<_, _>>()? }))
}

pub fn list_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("listReviews").tag("reviews").summary("What was said of events, oldest first")
}
