//! Parameters and bodies of calls; what is wrong with them is told as a [`Problem`].

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::problem::{FieldProblem, Problem, pointer};

/// The parameters after `?`.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(params)| Self(params)).map_err(|rejection| {
            let text = rejection.body_text();
            let message = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Problem::new(StatusCode::BAD_REQUEST, "bad-parameter", message)
        })
    }
}

impl<T: JsonSchema> OperationInput for Params<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        Query::<T>::operation_input(context, operation);
    }
}

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        // A page of another origin cannot send this without being asked for first.
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json"))
        {
            let detail = "the body must be JSON, with Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), "bad-body", rejection.body_text()))?;
        read(&bytes).map(Self)
    }
}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        Json::<T>::operation_input(context, operation);
    }
}

/// JSON as `T`; a field that is wrong is named.
///
/// # Errors
/// 400 where it is no JSON, 422 where it says what cannot be.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (at, inner) = (pointer(&error.path().to_string()), error.inner());
        if inner.is_data() {
            let text = inner.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
            Problem::unprocessable(vec![FieldProblem { pointer: at, message }])
        } else {
            Problem::new(StatusCode::BAD_REQUEST, "not-json", format!("the body is no JSON: {inner}"))
        }
    })?;
    json.end().map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "not-json", format!("the body is no JSON: {error}"))
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its type counts")]
        score: f64,
    }

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only its type counts")]
        list: Vec<Inner>,
    }

    #[test]
    fn a_wrong_field_is_named_and_no_json_is_another_fault() {
        let wrong = |text: &str| read::<Outer>(text.as_bytes()).expect_err("it is wrong");
        let typed = wrong(r#"{"list": [{"score": 1}, {"score": "high"}]}"#);
        assert_eq!((typed.status, typed.errors[0].pointer.as_str()), (422, "/list/1/score"));
        let unknown = wrong(r#"{"list": [{"score": 1, "scor": 2}]}"#);
        assert!(
            unknown.status == 422 && unknown.errors[0].message.contains("unknown field `scor`"),
            "{unknown:?}"
        );
        assert_eq!(wrong("{").status, 400);
        assert_eq!(wrong(r#"{"list": []} more"#).status, 400);
    }
}
