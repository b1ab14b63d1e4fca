//! `/v1/events/{id}/review`: what a person says of an event.

use aide::transform::TransformOperation;
use avicuna_pipeline::record::EventRecord;
use avicuna_pipeline::timeline::UtcTime;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// Was it so?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It happened as it was told.
    Right,
    /// It did not happen.
    Wrong,
    /// It happened, but otherwise: `label`, `start` or `end` say how.
    Corrected,
}

/// What a person says of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReview {
    /// Was it so?
    verdict: Verdict,
    /// What really happened.
    label: Option<String>,
    /// When it really started, seconds of stream time.
    start: Option<f64>,
    /// When it really ended, seconds of stream time.
    end: Option<f64>,
}

/// What a person said of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// What was said.
    #[serde(flatten)]
    said: NewReview,
    /// When, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    reviewed: String,
}

/// An event and what was said of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reviewed {
    /// As it was when it was reviewed.
    event: EventRecord,
    /// What was said.
    review: Review,
}

/// Reviews, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reviews {
    /// Kept until they are withdrawn, longer than the events themselves.
    reviews: Vec<Reviewed>,
}

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// At most so many, 1 to 100000; 1000 by default.
    #[schemars(range(min = 1, max = 100000))]
    limit: Option<usize>,
}

impl NewReview {
    fn problems(&self, event: &EventRecord) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut wrong = |pointer: &str, message: &str| {
            problems.push(FieldProblem { pointer: pointer.to_owned(), message: message.to_owned() });
        };
        let says = self.label.is_some() || self.start.is_some() || self.end.is_some();
        if (self.verdict == Verdict::Corrected) != says {
            wrong("/verdict", "\"corrected\" goes with label, start or end, and they with it");
        }
        if self.label.as_ref().is_some_and(|label| label.trim().is_empty() || label.len() > 500) {
            wrong("/label", "must be 1 to 500 bytes");
        }
        let start = self.start.unwrap_or(event.start.stream);
        let end = self.end.unwrap_or(event.end.stream);
        // NaN is no time either.
        if !(start.is_finite() && end.is_finite() && start <= end) {
            wrong(if self.start.is_some() { "/start" } else { "/end" }, "it must not end before it starts");
        }
        problems
    }
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
    let problems = said.problems(&event);
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
