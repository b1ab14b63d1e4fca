//! `/v1/streams`: what is watched.

use std::sync::Arc;

use aide::transform::TransformOperation;
use avicuna_pipeline::config::StreamConfig;
use avicuna_pipeline::control::StreamStatus;
use avicuna_pipeline::daemon::{self, Listed, Origin, Probed, StreamsError};
use avicuna_pipeline::percent;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{App, Shared, merge};
use crate::extract::{Body, Params, read};
use crate::history::{HistoryError, query};
use crate::problem::{FieldProblem, Problem};

/// Streams in one call.
const AT_ONCE: usize = 1000;

/// A stream.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StreamView {
    /// Its settings; the address without user, password and tokens.
    #[serde(flatten)]
    config: StreamConfig,
    /// Where it was asked for.
    origin: Origin,
    /// How it is; null before it began, and while it is not enabled.
    status: Option<StreamStatus>,
}

/// All streams.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StreamList {
    /// By id.
    streams: Vec<StreamView>,
    /// The fleet that they are shared in, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<String>,
}

/// Which stream.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct StreamPath {
    /// Its id.
    pub(super) id: String,
}

/// One stream or several.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct NewStreams(Value);

impl JsonSchema for NewStreams {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NewStreams".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<StreamConfig>();
        schemars::json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": AT_ONCE }] })
    }
}

/// What became of several streams.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Added {
    /// Those that were added.
    results: Vec<AddedOne>,
    /// Those that were not.
    errors: Vec<NotAdded>,
}

/// A stream that was added.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AddedOne {
    /// Its place in the call, from 0.
    index: usize,
    /// Its id.
    id: String,
}

/// A stream that was not.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotAdded {
    /// Its place in the call, from 0.
    index: usize,
    /// Why.
    problem: Problem,
}

/// How a stream is left.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    /// Let the model answer the windows that wait, before the open events are ended.
    #[serde(default)]
    drain: bool,
}

fn view(app: &App, Listed { config, origin }: Listed) -> StreamView {
    let status = app.control.status.streams.status(&config.id);
    let uri = config.shown_uri();
    StreamView { config: StreamConfig { uri, ..config }, origin, status }
}

pub(super) fn known(app: &App, id: &str) -> Result<Listed, Problem> {
    app.streams.get(id).ok_or_else(|| StreamsError::Unknown(id.to_owned()).into())
}

pub async fn list(State(app): Shared) -> Json<StreamList> {
    let streams = app.streams.list().into_iter().map(|listed| view(&app, listed)).collect();
    let fleet = app.streams.fleet().map(|desk| desk.group().to_owned());
    Json(StreamList { streams, fleet })
}

pub fn list_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("listStreams").tag("streams").summary("Every stream, and how it is")
}

pub async fn one(State(app): Shared, Path(path): Path<StreamPath>) -> Result<Json<StreamView>, Problem> {
    Ok(Json(view(&app, known(&app, &path.id)?)))
}

pub fn one_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("getStream").tag("streams").summary("One stream").response::<404, Problem>()
}

pub async fn add(State(app): Shared, Body(NewStreams(body)): Body<NewStreams>) -> Result<Response, Problem> {
    let Value::Array(items) = body else {
        let id = add_one(&app, body).await?;
        let location = HeaderValue::from_str(&format!("/v1/streams/{}", percent::component(&id)));
        let headers = location.ok().map(|location| [(header::LOCATION, location)]);
        let made = (StatusCode::CREATED, Json(view(&app, known(&app, &id)?)));
        return Ok(match headers {
            Some(headers) => (headers, made).into_response(),
            None => made.into_response(),
        });
    };
    if items.is_empty() || items.len() > AT_ONCE {
        let detail = format!("name 1 to {AT_ONCE} streams in one call");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "how-many", detail));
    }
    let mut added = Added { results: Vec::new(), errors: Vec::new() };
    for (index, item) in items.into_iter().enumerate() {
        match add_one(&app, item).await {
            Ok(id) => added.results.push(AddedOne { index, id }),
            Err(problem) => added.errors.push(NotAdded { index, problem }),
        }
    }
    let status = if added.errors.is_empty() { StatusCode::CREATED } else { StatusCode::MULTI_STATUS };
    Ok((status, Json(added)).into_response())
}

pub fn add_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("addStreams")
        .tag("streams")
        .summary("Add a stream, or several")
        .description(
            "One object adds one stream. An array adds each by itself, and says of each what became of it.",
        )
        .response_with::<201, Json<StreamView>, _>(|response| {
            response.description("added; of an array, all of them")
        })
        .response_with::<207, Json<Added>, _>(|response| {
            response.description("some of an array were not added")
        })
        .response::<409, Problem>()
        .response::<422, Problem>()
}

async fn add_one(app: &Arc<App>, body: Value) -> Result<String, Problem> {
    let config: StreamConfig = parsed(&body)?;
    if config.id == "probe" {
        let message = "\"probe\" names a call; take another id".to_owned();
        return Err(Problem::unprocessable(vec![FieldProblem { pointer: "/id".to_owned(), message }]));
    }
    admitted(app, &config).await?;
    app.streams.add(config.clone(), Origin::Api).await?;
    let id = config.id.clone();
    if let Err(error) = store(app, config).await {
        // It would be gone after a restart, and nobody would know.
        let _left = app.streams.remove(&id, false).await;
        return Err(error.into());
    }
    Ok(id)
}

fn parsed(body: &Value) -> Result<StreamConfig, Problem> {
    read(body.to_string().as_bytes())
}

/// May a caller have this watched? The name service is asked, which may take a while.
pub(super) async fn admitted(app: &Arc<App>, config: &StreamConfig) -> Result<(), Problem> {
    let (asked, stream) = (app.clone(), config.clone());
    let problems = tokio::task::spawn_blocking(move || asked.allow.problems(&stream)).await;
    match problems {
        Ok(problems) if problems.is_empty() => Ok(()),
        Ok(problems) => Err(Problem::unprocessable(problems)),
        Err(_) => Err(Problem::unavailable("the daemon is stopping")),
    }
}

pub async fn change(
    State(app): Shared,
    Path(path): Path<StreamPath>,
    Body(patch): Body<serde_json::Map<String, Value>>,
) -> Result<Json<StreamView>, Problem> {
    let before = known(&app, &path.id)?;
    let shown = before.config.shown_uri();
    let mut after =
        serde_json::to_value(&before.config).map_err(|error| Problem::unavailable(error.to_string()))?;
    let mut patch = patch;
    // A caller that sends back what it was shown means the address as it is.
    if patch.get("uri").and_then(Value::as_str) == Some(shown.as_str()) {
        patch.remove("uri");
    }
    merge(&mut after, Value::Object(patch));
    let config: StreamConfig = parsed(&after)?;
    if config.id != path.id {
        return Err(Problem::conflict("a stream keeps its id; add another one instead"));
    }
    admitted(&app, &config).await?;
    app.streams.change(config.clone()).await?;
    store(&app, config).await?;
    Ok(Json(view(&app, known(&app, &path.id)?)))
}

pub fn change_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("changeStream")
        .tag("streams")
        .summary("Give a stream other settings")
        .description(
            "A JSON merge patch (RFC 7396): what is named changes, `null` takes the default. `queries`, `detect`, `min_score`, \
             `min_query_score`, `min_label_scores`, `min_windows`, `merge_gap`, `recall`, `unchanged`, and `audio` or `video` of a source that was \
             connected with it hold from the next window on; open events stay open. Anything else connects the stream again; its \
             open events are ended first. No other stream is touched.",
        )
        .response::<404, Problem>()
        .response::<409, Problem>()
        .response::<422, Problem>()
}

pub async fn remove(
    State(app): Shared,
    Path(path): Path<StreamPath>,
    Params(leave): Params<Leave>,
) -> Result<StatusCode, Problem> {
    if app.streams.remove(&path.id, leave.drain).await? {
        app.history.change(move |file| Ok(query::forget_stream(file, &path.id)?)).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub fn remove_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("removeStream")
        .tag("streams")
        .summary("Leave a stream")
        .description("Its open events are ended. One that is not there is gone already: that is no error.")
        .response_with::<204, (), _>(|response| response.description("it is not watched"))
        .response::<409, Problem>()
}

/// What is to be looked at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// An address that a stream may have.
    uri: String,
}

pub async fn probe(State(app): Shared, Body(request): Body<ProbeRequest>) -> Result<Json<Probed>, Problem> {
    let config = StreamConfig::new("probe", request.uri);
    admitted(&app, &config).await?;
    let _place = app.probes.try_acquire().map_err(|_| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "busy",
            "enough addresses are looked at already; try again",
        )
    })?;
    let plan = app.streams.plan(&config)?;
    Ok(Json(daemon::probe(plan).await))
}

pub fn probe_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("probeStream")
        .tag("streams")
        .summary("Look what there is at an address")
        .description(
            "Connects for a moment, 15 s at most, and says what the tracks are made of; nothing is added.",
        )
        .response::<422, Problem>()
        .response::<429, Problem>()
}

/// Remembers a stream over a restart; those of a fleet the brokers remember.
async fn store(app: &App, config: StreamConfig) -> Result<(), HistoryError> {
    if app.streams.are_shared() {
        return Ok(());
    }
    let text = serde_json::to_string(&config)?;
    app.history.change(move |file| Ok(query::keep_stream(file, &config.id, &text)?)).await
}

/// Adds the streams that were added by calls before the daemon was stopped.
pub(crate) async fn restore(app: &App) -> Result<(), HistoryError> {
    if app.streams.are_shared() {
        return Ok(());
    }
    for (id, text) in app.history.read(|file| Ok(query::streams(file)?)).await? {
        let added = match serde_json::from_str::<StreamConfig>(&text) {
            Ok(config) => app.streams.add(config, Origin::Api).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = added {
            tracing::error!(stream = id, error, "a stream that was added by a call is not watched any more");
        }
    }
    Ok(())
}
