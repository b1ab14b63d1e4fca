//! The one error of the interface: a status, words for a person, and the places that are wrong (RFC 9457).

use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as Described, SchemaObject};
use aide::operation::OperationOutput;
use avicuna_pipeline::config::Problem as Wrong;
use avicuna_pipeline::daemon::StreamsError;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// Why a call was not answered; `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// A stable word for programs.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
    /// Each field of the body or parameter that is wrong.
    pub errors: Vec<FieldProblem>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldProblem {
    /// JSON pointer into the body (RFC 6901); a parameter's name after `?`.
    pub pointer: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// One with a status and a word for programs.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { kind, title, status: status.as_u16(), detail: detail.into(), errors: Vec::new() }
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// It exists, or is in use.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// A body that is JSON and says what cannot be.
    pub fn unprocessable(errors: Vec<FieldProblem>) -> Self {
        let detail = errors.iter().map(|error| format!("{}: {}", error.pointer, error.message));
        let detail = detail.collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    /// A parameter that cannot be.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let errors = vec![FieldProblem { pointer: format!("?{name}"), message: message.clone() }];
        let detail = format!("{name}: {message}");
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "bad-parameter", detail) }
    }

    /// The daemon cannot, now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }
}

impl FieldProblem {
    /// Of a field's name as configurations write it: `reconnect.jitter`, `queries[2]`.
    pub fn of(wrong: Wrong) -> Self {
        Self { pointer: pointer(&wrong.field), message: wrong.message }
    }
}

/// The JSON pointer of a field's name.
pub fn pointer(field: &str) -> String {
    let field = field.replace('[', ".").replace(']', "");
    let part = |part: &str| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
    field.split('.').filter(|name| !name.is_empty() && *name != "?").map(part).collect()
}

impl From<StreamsError> for Problem {
    fn from(error: StreamsError) -> Self {
        match error {
            StreamsError::Unknown(_) => Self::not_found(error.to_string()),
            StreamsError::Exists(_) | StreamsError::OfFile(_) | StreamsError::Busy(_) => {
                Self::conflict(error.to_string())
            }
            StreamsError::Invalid(problems) => {
                Self::unprocessable(problems.into_iter().map(FieldProblem::of).collect())
            }
            StreamsError::Stopping | StreamsError::Fleet(_) => Self::unavailable(error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

impl OperationOutput for Problem {
    type Inner = Self;

    fn operation_response(context: &mut GenContext, _operation: &mut Operation) -> Option<Described> {
        let schema = context.schema.subschema_for::<Self>();
        let media = MediaType {
            schema: Some(SchemaObject { json_schema: schema, external_docs: None, example: None }),
            ..MediaType::default()
        };
        Some(Described {
            description: "what is wrong and what to do".to_owned(),
            content: [("application/problem+json".to_owned(), media)].into_iter().collect(),
            ..Described::default()
        })
    }

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<aide::openapi::StatusCode>, Described)> {
        // The default response: any status that is not a success.
        Self::operation_response(context, operation).map(|response| (None, response)).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_pointers() {
        for (field, expected) in [
            ("uri", "/uri"),
            ("reconnect.jitter", "/reconnect/jitter"),
            ("queries[2]", "/queries/2"),
            ("", ""),
        ] {
            assert_eq!(pointer(field), expected);
        }
    }
}
