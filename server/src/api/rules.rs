//! `/v1/rules`: when somebody is to be told.

use aide::transform::TransformOperation;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{App, Shared, merge, span};
use crate::extract::{Body, read};
use crate::history::query;
use crate::problem::{FieldProblem, Problem};
use crate::rules::{Alert, Rule, Watchers};

/// Windows that a test looks at.
const MOST: usize = 100_000;

/// A rule and its name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NamedRule {
    /// Names it: 1 to 100 letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,100}$"))]
    id: String,
    /// When somebody is to be told.
    #[serde(flatten)]
    rule: Rule,
}

/// All rules.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rules {
    /// By id.
    rules: Vec<NamedRule>,
}

/// Which rule.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RulePath {
    /// Its id.
    id: String,
}

/// What a rule is tried on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Windows that end before this are left out; RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// Windows that start then or later are left out; RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    /// A rule to try in place of the one that is kept.
    rule: Option<Rule>,
}

/// What a rule would have told.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tried {
    /// Windows that it looked at.
    windows: usize,
    /// When it would have fired.
    alerts: Vec<Alert>,
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no rule \"{id}\""))
}

fn checked(app: &App, named: &NamedRule) -> Result<(), Problem> {
    let mut problems = named.rule.problems();
    for (index, target) in named.rule.targets.iter().enumerate() {
        if !app.sinks.iter().any(|sink| sink.name() == target) {
            let message = format!("there is no sink \"{target}\"; GET /v1/sinks lists what there is");
            problems.push(FieldProblem { pointer: format!("/targets/{index}"), message });
        }
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if named.id.is_empty() || named.id.len() > 100 || !named.id.chars().all(legal) {
        let message = "an id has 1 to 100 letters, digits, '-', '_' and '.'".to_owned();
        problems.push(FieldProblem { pointer: "/id".to_owned(), message });
    }
    if problems.is_empty() { Ok(()) } else { Err(Problem::unprocessable(problems)) }
}

pub async fn list(State(app): Shared) -> Json<Rules> {
    let rules = app.rules.list().into_iter().map(|(id, rule)| NamedRule { id, rule }).collect();
    Json(Rules { rules })
}

pub fn list_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("listRules").tag("rules").summary("Every rule")
}

pub async fn one(State(app): Shared, Path(path): Path<RulePath>) -> Result<Json<NamedRule>, Problem> {
    let rule = app.rules.get(&path.id).ok_or_else(|| unknown(&path.id))?;
    Ok(Json(NamedRule { id: path.id, rule }))
}

pub fn one_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("getRule").tag("rules").summary("One rule").response::<404, Problem>()
}

pub async fn add(State(app): Shared, Body(named): Body<NamedRule>) -> Result<Response, Problem> {
    checked(&app, &named)?;
    let NamedRule { id, rule } = named.clone();
    if !app.rules.add(id.clone(), rule.clone()) {
        return Err(Problem::conflict(format!("a rule \"{id}\" exists; change it, or take another id")));
    }
    if let Err(error) = app.rules.keep(&app.history, &id).await {
        app.rules.remove(&id);
        return Err(error.into());
    }
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/v1/rules/{id}"))], Json(named)).into_response())
}

pub fn add_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("addRule")
        .tag("rules")
        .summary("Add a rule")
        .description("It looks at every window's answer from now on. When it fires, `alert` is told on `/v1/events/stream`.")
        .response_with::<201, Json<NamedRule>, _>(|response| response.description("it looks"))
        .response::<409, Problem>()
        .response::<422, Problem>()
}

pub async fn change(
    State(app): Shared,
    Path(path): Path<RulePath>,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Json<NamedRule>, Problem> {
    let before = app.rules.get(&path.id).ok_or_else(|| unknown(&path.id))?;
    let mut after = serde_json::to_value(&before).map_err(|error| Problem::unavailable(error.to_string()))?;
    merge(&mut after, Value::Object(patch));
    let rule: Rule = read(after.to_string().as_bytes())?;
    let named = NamedRule { id: path.id.clone(), rule: rule.clone() };
    checked(&app, &named)?;
    if !app.rules.change(&path.id, rule) {
        return Err(unknown(&path.id));
    }
    app.rules.keep(&app.history, &path.id).await?;
    Ok(Json(named))
}

pub fn change_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("changeRule")
        .tag("rules")
        .summary("Change a rule")
        .description(
            "A JSON merge patch (RFC 7396). What the rule has seen until now does not count any more.",
        )
        .response::<404, Problem>()
        .response::<422, Problem>()
}

pub async fn remove(State(app): Shared, Path(path): Path<RulePath>) -> Result<StatusCode, Problem> {
    app.rules.remove(&path.id);
    app.history.change(move |file| Ok(query::forget_rule(file, &path.id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub fn remove_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("removeRule")
        .tag("rules")
        .summary("Remove a rule")
        .response_with::<204, (), _>(|response| response.description("there is no such rule"))
}

pub async fn test(
    State(app): Shared,
    Path(path): Path<RulePath>,
    Body(trial): Body<Trial>,
) -> Result<Json<Tried>, Problem> {
    let rule = match trial.rule {
        Some(rule) => rule,
        None => app.rules.get(&path.id).ok_or_else(|| unknown(&path.id))?,
    };
    checked(&app, &NamedRule { id: path.id.clone(), rule: rule.clone() })?;
    let span = span(trial.from.as_deref(), trial.to.as_deref())?;
    let windows = app.history.read(move |file| query::windows(file, None, span, MOST)).await?;
    let mut watchers = Watchers::default();
    let rule = Rule { enabled: true, ..rule };
    let alerts = windows.iter().filter_map(|window| watchers.look(&path.id, &rule, window)).collect();
    Ok(Json(Tried { windows: windows.len(), alerts }))
}

pub fn test_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("testRule")
        .tag("rules")
        .summary("What a rule would have told")
        .description("Tries it on the windows that the history remembers; nobody is told.")
        .response::<404, Problem>()
        .response::<422, Problem>()
}
