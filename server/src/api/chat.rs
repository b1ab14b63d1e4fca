//! `/v1/chat/completions` and `/v1/models`: questions, in the form that clients of language models speak already.

mod messages;

use std::convert::Infallible;
use std::sync::Arc;

use aide::transform::TransformOperation;
use avicuna_pipeline::config::{Isolation, StreamConfig};
use avicuna_pipeline::daemon::{AskError, Reply};
use avicuna_pipeline::timeline::UtcTime;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use self::messages::{ChatCompletion, ChatRequest, Content, ModelView, Models, Part, completion};
use super::streams::known;
use super::{App, Shared, instant};
use crate::extract::Body;
use crate::problem::{FieldProblem, Problem};

/// What a question is about.
enum About {
    Span { stream: String, from: Option<UtcTime>, to: Option<UtcTime> },
    Clip(String),
    Film(String),
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Loading | AskError::Busy => Self::unavailable(error.to_string()),
            AskError::Forgotten { .. } => Self::not_found(error.to_string()),
            AskError::Model(_) => Self::new(StatusCode::BAD_GATEWAY, "model", error.to_string()),
            AskError::Source(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "source", error.to_string()),
        }
    }
}

pub async fn models(State(app): Shared) -> Json<Models> {
    let data = app.asker.model().into_iter();
    let view = |id| ModelView { id, object: "model", owned_by: "local" };
    Json(Models { object: "list", data: data.map(view).collect() })
}

pub fn models_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("listModels").tag("ask").summary("The model that can be asked")
}

pub async fn complete(State(app): Shared, Body(request): Body<ChatRequest>) -> Result<Response, Problem> {
    if let (Some(asked), Some(loaded)) = (&request.model, app.asker.model())
        && *asked != loaded
    {
        return Err(Problem::not_found(format!("the model \"{asked}\" is not loaded; \"{loaded}\" is")));
    }
    let (question, about) = understood(&request)?;
    let reply = match about {
        About::Span { stream, from, to } => {
            known(&app, &stream)?;
            app.asker.stream(&stream, from, to, &question).await?
        }
        About::Clip(event) => clip(&app, &event, &question).await?,
        About::Film(url) => film(&app, url, &question).await?,
    };
    let completion = completion(reply);
    Ok(if request.stream { streamed(completion) } else { Json(completion).into_response() })
}

pub fn complete_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("createChatCompletion")
        .tag("ask")
        .summary("Ask about what a stream has shown, or about a film")
        .description(
            "OpenAI-compatible. The last message of the user holds the question as text and, as one part more, what it \
             is about: `stream_span`, `event_clip` or `video_url`. Questions wait behind the windows of the streams.",
        )
        .response::<200, Json<ChatCompletion>>()
        .response::<404, Problem>()
        .response::<422, Problem>()
}

fn understood(request: &ChatRequest) -> Result<(String, About), Problem> {
    let wrong = |pointer: String, message: &str| {
        Problem::unprocessable(vec![FieldProblem { pointer, message: message.to_owned() }])
    };
    let last = request.messages.iter().enumerate().rfind(|(_, message)| message.role == "user");
    let Some((index, message)) = last else {
        return Err(wrong("/messages".to_owned(), "no message is the user's"));
    };
    let at = format!("/messages/{index}/content");
    let Content::Parts(parts) = &message.content else {
        let message = "name what it is about: a part of type stream_span or video_url beside the text";
        return Err(wrong(at, message));
    };
    let (mut words, mut about) = (Vec::new(), None);
    for (number, part) in parts.iter().enumerate() {
        let more = match part {
            Part::Text { text } => {
                words.push(text.trim());
                continue;
            }
            Part::StreamSpan { stream_id, from, to } => {
                let time = |name: &str, text: &Option<String>| {
                    let parsed = text.as_deref().map(|text| instant(name, text)).transpose();
                    parsed.map_err(|problem| wrong(format!("{at}/{number}/{name}"), &problem.detail))
                };
                About::Span { stream: stream_id.clone(), from: time("from", from)?, to: time("to", to)? }
            }
            Part::EventClip { event_id } => About::Clip(event_id.clone()),
            Part::VideoUrl { video_url } => About::Film(video_url.url.clone()),
        };
        if about.replace(more).is_some() {
            return Err(wrong(
                format!("{at}/{number}"),
                "a question is about one span or film; ask once for each",
            ));
        }
    }
    let question = words.join(" ");
    if question.is_empty() || question.len() > 500 {
        return Err(wrong(at, "a question has 1 to 500 bytes of text"));
    }
    match about {
        Some(about) => Ok((question, about)),
        None => Err(wrong(at, "name what it is about: a part of type stream_span or video_url")),
    }
}

/// Watches the clip of an event as its stream is watched now; times are the clip's own.
async fn clip(app: &Arc<App>, event: &str, question: &str) -> Result<Reply, Problem> {
    let (stream, file) = super::evidence::to_file(app, event).await?;
    let known = app.streams.get(&stream).map(|listed| listed.config);
    let settings = known.unwrap_or_else(|| StreamConfig::new("clip", ""));
    let config = StreamConfig {
        id: "clip".to_owned(),
        uri: file.display().to_string(),
        live: Some(false),
        looping: false,
        realtime: false,
        isolation: Some(Isolation::Process),
        ..settings
    };
    let plan = app.streams.plan(&config)?;
    Ok(app.asker.film(plan, question).await?)
}

/// Watches a film by the same rules as a stream that is added by a call.
async fn film(app: &Arc<App>, url: String, question: &str) -> Result<Reply, Problem> {
    let (local, _inline) = inline(&url)?;
    let mut config = StreamConfig::new("film", local.as_deref().unwrap_or(&url));
    config.live = Some(false);
    if local.is_none() {
        super::streams::admitted(app, &config).await.map_err(|mut problem| {
            for error in &mut problem.errors {
                error.pointer = "/messages".to_owned();
            }
            problem
        })?;
    }
    let plan = app.streams.plan(&config)?;
    Ok(app.asker.film(plan, question).await?)
}

/// The file of a `data:` address, and what removes it again.
fn inline(url: &str) -> Result<(Option<String>, Option<tempfile::TempPath>), Problem> {
    let Some(data) = url.strip_prefix("data:") else { return Ok((None, None)) };
    let bad = |message: &str| {
        Problem::unprocessable(vec![FieldProblem {
            pointer: "/messages".to_owned(),
            message: message.to_owned(),
        }])
    };
    let coded = data.split_once(";base64,").ok_or_else(|| bad("a data: address must be base64"))?.1;
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, coded.trim())
        .map_err(|error| bad(&format!("the data: address is no base64: {error}")))?;
    let failed = |error: std::io::Error| {
        Problem::unavailable(format!("the film cannot be kept for a moment: {error}"))
    };
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    std::io::Write::write_all(&mut file, &bytes).map_err(failed)?;
    let path = file.into_temp_path();
    Ok((Some(path.display().to_string()), Some(path)))
}

/// The answer in pieces: one with the words, one with the rest, and the end.
fn streamed(completion: ChatCompletion) -> Response {
    let chunk = |delta: Value, finish: Value| {
        json!({
            "id": completion.id, "object": "chat.completion.chunk", "created": completion.created,
            "model": completion.model, "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        })
    };
    let content =
        completion.choices.first().map(|choice| choice.message.content.as_str()).unwrap_or_default();
    let mut pieces = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    pieces.extend(content.split_inclusive('\n').map(|line| chunk(json!({ "content": line }), Value::Null)));
    let mut last = chunk(json!({}), json!("stop"));
    last["avicuna"] = json!(completion.avicuna);
    last["usage"] = json!(completion.usage);
    pieces.push(last);
    let data = pieces.iter().map(ToString::to_string).chain(std::iter::once("[DONE]".to_owned()));
    let events: Vec<_> = data.map(|data| Ok::<_, Infallible>(Event::default().data(data))).collect();
    Sse::new(futures_util::stream::iter(events)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(content: Value) -> Result<(String, About), Problem> {
        let request = json!({"messages": [
            {"role": "system", "content": "be brief"}, {"role": "user", "content": content}
        ]});
        understood(&crate::extract::read(request.to_string().as_bytes())?)
    }

    #[test]
    fn a_question_names_what_it_is_about() {
        let span = json!({"type": "stream_span", "stream_id": "yard", "from": "2026-11-29T14:00:00Z"});
        let (question, about) =
            request(json!([{"type": "text", "text": "when does the dog bark?"}, span])).expect("it is right");
        assert_eq!(question, "when does the dog bark?");
        assert!(matches!(about, About::Span { stream, from: Some(_), to: None } if stream == "yard"));
        let film = json!({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}});
        assert!(matches!(request(json!([film, {"type": "text", "text": "x"}])), Ok((_, About::Film(_)))));
        for (content, pointer) in [
            (json!("when?"), "/messages/1/content"),
            (json!([{"type": "text", "text": "when?"}]), "/messages/1/content"),
            (json!([span]), "/messages/1/content"),
            (json!([{"type": "text", "text": "x"}, span, film]), "/messages/1/content/2"),
            (
                json!([{"type": "text", "text": "x"}, {"type": "stream_span", "stream_id": "a", "to": "noon"}]),
                "/messages/1/content/1/to",
            ),
        ] {
            let problem = request(content).err().expect("it is wrong");
            assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (422, pointer));
        }
    }

    #[test]
    fn a_film_can_be_sent_along() {
        let (path, file) = inline("data:video/mp4;base64,AAEC").expect("it is kept");
        let path = path.expect("a file");
        assert_eq!(std::fs::read(&path).expect("it is there"), [0, 1, 2]);
        drop(file);
        assert!(!std::path::Path::new(&path).exists());
        assert!(inline("data:video/mp4,abc").is_err() && inline("data:;base64,???").is_err());
    }
}
