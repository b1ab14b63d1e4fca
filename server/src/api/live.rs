//! `/v1/events/stream`: everything as it happens, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use aide::transform::TransformOperation;
use avicuna_pipeline::answer::label_key;
use avicuna_pipeline::stream::Modality;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Shared;
use crate::extract::Params;
use crate::history::{Listener, Told};
use crate::problem::Problem;

/// A sign of life where nothing happens.
const ALIVE: Duration = Duration::from_secs(15);

/// What is heard.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of one stream.
    stream: Option<String>,
    /// Events of one label, whatever the case and a leading article.
    label: Option<String>,
    /// Events of one modality.
    modality: Option<Modality>,
    /// Events at least so sure, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    min_score: Option<f64>,
    /// Everything after the record of this number, as `Last-Event-ID` does for those who cannot send headers.
    after: Option<i64>,
}

impl Filter {
    fn takes(&self, told: &Told) -> bool {
        let event = told.event.as_ref().is_none_or(|event| {
            self.label.as_ref().is_none_or(|label| label_key(label) == label_key(&event.label))
                && self.modality.is_none_or(|modality| modality == event.modality)
                && self.min_score.is_none_or(|least| event.score >= least)
        });
        event && self.stream.as_ref().is_none_or(|stream| *stream == told.stream)
    }
}

pub async fn stream(
    State(app): Shared,
    Params(filter): Params<Filter>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = match headers.get("last-event-id") {
        None => None,
        Some(last) => {
            let number = last.to_str().ok().and_then(|last| last.trim().parse().ok());
            Some(number.ok_or_else(|| Problem::parameter("Last-Event-ID", "is none that was sent here"))?)
        }
    };
    let listener = app.history.listen(last.or(filter.after));
    let alive = KeepAlive::new().interval(ALIVE).event(Event::default().event("keepalive").data("{}"));
    Ok(Sse::new(heard(listener, filter)).keep_alive(alive).into_response())
}

pub fn stream_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("streamEvents")
        .tag("events")
        .summary("Everything as it happens")
        .description(
            "Server-sent events named `started`, `updated`, `ended`, `coverage`, `error`, `alert`, `stream` and `keepalive`; the data is the \
             record, the id its number. With `Last-Event-ID` nothing is missed and nothing comes twice, for as long as \
             the history keeps records.",
        )
        .response_with::<200, String, _>(|mut response| {
            response.inner().content = [("text/event-stream".to_owned(), Default::default())].into_iter().collect();
            response.description("a stream that does not end")
        })
        .response::<400, Problem>()
}

/// A page of the listener at most is held for a client, however slowly it reads.
fn heard(listener: Listener, filter: Filter) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold((listener, filter), |(mut listener, filter)| async move {
        loop {
            match listener.next().await {
                Ok(Some(told)) if filter.takes(&told) => {
                    let event =
                        Event::default().id(told.seq.to_string()).event(told.what.name()).data(&told.payload);
                    return Some((Ok(event), (listener, filter)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!(%error, "a listener is let go");
                    return None;
                }
            }
        }
    })
}
