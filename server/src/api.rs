//! The calls: one file for each kind of thing.

mod chat;
mod counts;
mod coverage;
mod events;
mod evidence;
mod fleet;
mod health;
mod live;
mod probes;
mod reload;
mod reviews;
mod rules;
mod sinks;
mod streams;
mod windows;

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with, post_with};
use aide::openapi::{OpenApi, SecurityScheme};
use aide::redoc::Redoc;
use avicuna_pipeline::clips::Clips;
use avicuna_pipeline::control::Control;
use avicuna_pipeline::daemon::{Asker, Streams};
use avicuna_pipeline::sink::Topics;
use avicuna_pipeline::timeline::UtcTime;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::allow::Allow;
use crate::auth::{Auth, Role};
use crate::history::{History, Span};
use crate::page;
use crate::problem::Problem;
use crate::rulebook::Rulebook;
use crate::tell;

/// The page that shows the document.
const DOCS: &str = "/docs";
/// The document.
const OPENAPI: &str = "/openapi.json";
/// The document of what is published.
const ASYNCAPI: &str = "/asyncapi.yaml";

/// What every call can reach.
#[derive(Debug)]
pub(crate) struct App {
    pub control: Arc<Control>,
    pub streams: Streams,
    pub asker: Asker,
    /// What events can be looked at in, if anything is kept.
    pub clips: Option<Clips>,
    pub history: History,
    pub rules: Rulebook,
    /// How those who are told are.
    pub sinks: Vec<Arc<tell::State>>,
    pub auth: Auth,
    pub allow: Allow,
    /// Addresses that are looked at at once.
    pub probes: Semaphore,
    pub reload: reload::Reload,
    /// Where records are published.
    pub topics: Topics,
}

pub use reload::Reload;
pub(crate) use streams::restore;

type Shared = State<Arc<App>>;

/// All calls, and the document that describes them.
pub(crate) fn describe() -> (OpenApi, Router<Arc<App>>) {
    aide::generate::extract_schemas(true);
    aide::generate::on_error(|error| tracing::warn!(%error, "the interface's document"));
    let mut document = OpenApi::default();
    let router = ApiRouter::new()
        .api_route(
            "/v1/streams",
            get_with(streams::list, streams::list_docs).post_with(streams::add, streams::add_docs),
        )
        .api_route("/v1/streams/probe", post_with(streams::probe, streams::probe_docs))
        .api_route(
            "/v1/streams/{id}",
            get_with(streams::one, streams::one_docs)
                .patch_with(streams::change, streams::change_docs)
                .delete_with(streams::remove, streams::remove_docs),
        )
        .api_route("/v1/streams/{id}/health", get_with(health::health, health::health_docs))
        .api_route("/v1/streams/{id}/snapshot.jpg", get_with(health::snapshot, health::snapshot_docs))
        .api_route("/v1/events", get_with(events::list, events::list_docs))
        .api_route("/v1/events/counts", get_with(counts::list, counts::list_docs))
        .api_route("/v1/events/stream", get_with(live::stream, live::stream_docs))
        .api_route("/v1/events/{id}", get_with(events::one, events::one_docs))
        .api_route("/v1/events/{id}/evidence", get_with(evidence::about, evidence::about_docs))
        .api_route("/v1/events/{id}/clip.mp4", get_with(evidence::clip, evidence::clip_docs))
        .api_route("/v1/events/{id}/snapshot.jpg", get_with(evidence::snapshot, evidence::snapshot_docs))
        .api_route(
            "/v1/events/{id}/spectrogram.png",
            get_with(evidence::spectrogram, evidence::spectrogram_docs),
        )
        .api_route("/v1/events/{id}/review", post_with(reviews::review, reviews::review_docs))
        .api_route("/v1/events/{id}/review", delete_with(reviews::withdraw, reviews::withdraw_docs))
        .api_route("/v1/reviews", get_with(reviews::list, reviews::list_docs))
        .api_route("/v1/coverage", get_with(coverage::list, coverage::list_docs))
        .api_route("/v1/windows", get_with(windows::list, windows::list_docs))
        .api_route(
            "/v1/rules",
            get_with(rules::list, rules::list_docs).post_with(rules::add, rules::add_docs),
        )
        .api_route(
            "/v1/rules/{id}",
            get_with(rules::one, rules::one_docs)
                .patch_with(rules::change, rules::change_docs)
                .delete_with(rules::remove, rules::remove_docs),
        )
        .api_route("/v1/rules/{id}/test", post_with(rules::test, rules::test_docs))
        .api_route("/v1/sinks", get_with(sinks::list, sinks::list_docs))
        .api_route("/v1/chat/completions", post_with(chat::complete, chat::complete_docs))
        .api_route("/v1/models", get_with(chat::models, chat::models_docs))
        .api_route("/v1/fleet", get_with(fleet::overview, fleet::overview_docs))
        .api_route("/v1/reload", post_with(reload::reload, reload::reload_docs))
        .finish_api_with(&mut document, |api| {
            api.title("AVicuna Stream")
                .version(env!("CARGO_PKG_VERSION"))
                .description(
                    "What happens on live streams: streams, events, coverage and every window's answer.",
                )
                .security_scheme(
                    "token",
                    SecurityScheme::Http {
                        scheme: "bearer".to_owned(),
                        bearer_format: None,
                        description: Some(
                            "A token of control.token_file; none is needed without one.".to_owned(),
                        ),
                        extensions: Default::default(),
                    },
                )
                .security_requirement("token")
                .default_response::<Problem>()
        });
    (document, router)
}

/// Everything that is served.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (document, calls) = describe();
    let document = Arc::new(document);
    let described = move || {
        let document = document.clone();
        async move { Json((*document).clone()) }
    };
    let published = crate::asyncapi::document(&app.topics).to_string();
    let published = move || async move { ([(header::CONTENT_TYPE, "application/yaml")], published) };
    calls
        .route(OPENAPI, get(described))
        .route(ASYNCAPI, get(published))
        .route(DOCS, Redoc::new(OPENAPI).with_title("AVicuna Stream").axum_route().into())
        .merge(page::router())
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), admit))
        .merge(probes::router())
        .with_state(app)
}

async fn nothing() -> Problem {
    Problem::not_found(format!("there is nothing here; {DOCS} lists what there is"))
}

async fn wrong_method() -> Problem {
    let detail = format!("this cannot be done here; {DOCS} lists what can");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
}

/// Lets callers in who may do what they want to.
async fn admit(State(app): Shared, request: Request, next: Next) -> Response {
    if app.auth.is_open() && !is_for_this_machine(&request) {
        // A name that leads here from a page of elsewhere: without tokens only this machine is let in.
        let detail = "this interface is for this machine; call it as 127.0.0.1 or localhost, or set control.token_file";
        return Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", detail).into_response();
    }
    if page::is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let role = match app.auth.role(request.headers()).await {
        Ok(role) => role,
        Err(problem) => {
            let asks = [(header::WWW_AUTHENTICATE, "Bearer")];
            return (asks, problem.into_response()).into_response();
        }
    };
    let needed = needed(request.method(), request.uri().path());
    if role < needed {
        let detail = format!("this needs the role {needed}, the token has {role}");
        return Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into_response();
    }
    next.run(request).await
}

fn needed(method: &Method, path: &str) -> Role {
    match *method {
        Method::POST if path == "/v1/chat/completions" || is_trial(path) => Role::Read,
        Method::GET | Method::HEAD | Method::OPTIONS => Role::Read,
        _ if path == "/v1/reload" => Role::Admin,
        _ => Role::Write,
    }
}

/// Trying a rule changes nothing.
fn is_trial(path: &str) -> bool {
    path.starts_with("/v1/rules/") && path.ends_with("/test")
}

fn is_for_this_machine(request: &Request) -> bool {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = named.or_else(|| request.uri().authority().map(|authority| authority.as_str())) else {
        return true;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A span of two parameters in RFC 3339.
fn span(from: Option<&str>, to: Option<&str>) -> Result<Span, Problem> {
    let parsed = |name: &str, text: Option<&str>| text.map(|text| instant(name, text)).transpose();
    Ok(Span { from: parsed("from", from)?, to: parsed("to", to)? })
}

/// A time in RFC 3339.
fn instant(name: &str, text: &str) -> Result<UtcTime, Problem> {
    UtcTime::from_rfc3339(text)
        .ok_or_else(|| Problem::parameter(name, format!("\"{text}\" is no time; write 2026-11-29T14:03:00Z")))
}

/// A least score, 0 to 1.
fn least_score(asked: Option<f64>) -> Result<Option<f64>, Problem> {
    match asked {
        Some(score) if !(0.0..=1.0).contains(&score) => {
            Err(Problem::parameter("min_score", "must be from 0 to 1"))
        }
        _ => Ok(asked),
    }
}

/// How many at once: `asked`, up to `most`.
fn limit(asked: Option<usize>, otherwise: usize, most: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(otherwise),
        Some(asked) if (1..=most).contains(&asked) => Ok(asked),
        Some(_) => Err(Problem::parameter("limit", format!("must be from 1 to {most}"))),
    }
}

/// RFC 7396; `null` removes a key, which then has its default.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let mut stream = json!({"id": "a", "queries": ["x"], "min_score": 0.5, "reconnect": {"max": "30s", "jitter": 0.3}});
        merge(&mut stream, json!({"min_score": null, "queries": ["y", "z"], "reconnect": {"max": "5s"}}));
        let expected = json!({"id": "a", "queries": ["y", "z"], "reconnect": {"max": "5s", "jitter": 0.3}});
        assert_eq!(stream, expected);
    }
}
