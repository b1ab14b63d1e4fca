//! `/v1/events`: what happened.

use aide::transform::TransformOperation;
use avicuna_pipeline::record::review::Review;
use avicuna_pipeline::record::{EventRecord, Phase};
use avicuna_pipeline::stream::Modality;
use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reviews::EventPath;
use super::{Shared, least_score, limit, span};
use crate::extract::Params;
use crate::history::{Cursor, EventFilter, EventRow, HistoryError, query};
use crate::problem::Problem;

/// Events at once.
const PAGE: usize = 100;
const MOST: usize = 1000;

/// Which events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of one stream.
    stream: Option<String>,
    /// Of one label, whatever the case and a leading article.
    label: Option<String>,
    /// What ends before this is left out; RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// What starts then or later is left out; RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    /// Seen, heard, or both.
    modality: Option<Modality>,
    /// At least so sure, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    min_score: Option<f64>,
    /// In this phase now.
    phase: Option<Phase>,
    /// Where the page before ended: its `next`.
    #[schemars(regex(pattern = "^-?[0-9]+-.+$"))]
    cursor: Option<String>,
    /// At most so many, 1 to 1000; 100 by default.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

/// Some events, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventPage {
    /// Each in its last state.
    events: Vec<EventView>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// An event in its last state.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventView {
    /// Its last record.
    #[serde(flatten)]
    event: EventRecord,
    /// What somebody said of it; null when nobody did.
    review: Option<Review>,
}

/// An event and all that was told of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventHistory {
    /// Its last record.
    #[serde(flatten)]
    last: EventView,
    /// Every record, oldest first. Records that are older than the history keeps them are not here any more.
    revisions: Vec<EventRecord>,
}

pub async fn list(State(app): Shared, Params(filter): Params<Filter>) -> Result<Json<EventPage>, Problem> {
    let limit = limit(filter.limit, PAGE, MOST)?;
    let score = least_score(filter.min_score)?;
    let cursor = |text: &String| {
        Cursor::parse(text)
            .ok_or_else(|| Problem::parameter("cursor", "is none that a page gave as its next"))
    };
    let wanted = EventFilter {
        after: filter.cursor.as_ref().map(cursor).transpose()?,
        span: span(filter.from.as_deref(), filter.to.as_deref())?,
        stream: filter.stream,
        label: filter.label,
        modality: filter.modality,
        min_score: score,
        phase: filter.phase,
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let mut rows = app.history.read(move |file| query::events(file, &wanted)).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.cursor.text());
    let events = rows.into_iter().map(view).collect::<Result<_, _>>()?;
    Ok(Json(EventPage { events, next }))
}

pub fn list_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("listEvents").tag("events").summary("Events, newest first").response::<400, Problem>()
}

fn view(row: EventRow) -> Result<EventView, HistoryError> {
    let review = row.review.as_deref().map(serde_json::from_str).transpose()?;
    Ok(EventView { event: row.event, review })
}

pub async fn one(State(app): Shared, Path(path): Path<EventPath>) -> Result<Json<EventHistory>, Problem> {
    let id = path.id.clone();
    let found = app.history.read(move |file| {
        let Some(event) = query::event(file, &id)? else { return Ok(None) };
        let review = query::review(file, &id)?.as_deref().map(serde_json::from_str).transpose()?;
        Ok(Some(EventHistory { last: EventView { event, review }, revisions: query::revisions(file, &id)? }))
    });
    found.await?.map(Json).ok_or_else(|| Problem::not_found(format!("there is no event \"{}\"", path.id)))
}

pub fn one_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("getEvent")
        .tag("events")
        .summary("An event and all that was told of it")
        .response::<404, Problem>()
}
