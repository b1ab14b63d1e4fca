//! `/v1/events/{id}/clip.mp4` and its like: what an event looked and sounded like.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use aide::transform::TransformOperation;
use avicuna_pipeline::clips::{Absent, Clips, Found, Piece};
use avicuna_pipeline::record::{EventRecord, Phase};
use avicuna_pipeline::source::cut::Made;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::reviews::EventPath;
use super::{App, Shared};
use crate::history::query;
use crate::problem::Problem;

/// When to ask again for what is not there yet, in seconds.
const AGAIN: &str = "5";

pub async fn about(State(app): Shared, Path(path): Path<EventPath>) -> Result<Json<Made>, Response> {
    let (clips, event) = kept(&app, &path.id).await.map_err(IntoResponse::into_response)?;
    let made = clips.made(&event.stream_id, &path.id).await;
    made.map(Json).map_err(|absent| missing(absent, &event))
}

pub fn about_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    described(operation, "getEvidence", "What is kept of an event to be looked at, and what could not be")
}

pub async fn clip(
    State(app): Shared,
    Path(path): Path<EventPath>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Response> {
    serve(&app, &path.id, Piece::Clip, &method, &headers).await
}

pub fn clip_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    file(
        operation,
        ("getClip", "The clip of an event, with its sound"),
        &["video/mp4", "audio/mp4", "video/x-matroska", "audio/x-matroska"],
    )
}

pub async fn snapshot(
    State(app): Shared,
    Path(path): Path<EventPath>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Response> {
    serve(&app, &path.id, Piece::Snapshot, &method, &headers).await
}

pub fn snapshot_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    file(operation, ("getEventSnapshot", "The picture of an event's surest moment"), &["image/jpeg"])
}

pub async fn spectrogram(
    State(app): Shared,
    Path(path): Path<EventPath>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Response> {
    serve(&app, &path.id, Piece::Spectrogram, &method, &headers).await
}

pub fn spectrogram_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    file(operation, ("getSpectrogram", "The spectrogram of a clip's sound"), &["image/png"])
}

fn described<'t>(
    operation: TransformOperation<'t>,
    id: &'static str,
    summary: &'static str,
) -> TransformOperation<'t> {
    operation
        .id(id)
        .tag("events")
        .summary(summary)
        .response::<404, Problem>()
        .response_with::<410, Problem, _>(|response| {
            response.description("dropped or deleted; `detail` says why")
        })
        .response::<503, Problem>()
}

fn file<'t>(
    operation: TransformOperation<'t>,
    (id, summary): (&'static str, &'static str),
    types: &'static [&'static str],
) -> TransformOperation<'t> {
    let media = || types.iter().map(|kind| ((*kind).to_owned(), Default::default())).collect();
    described(operation, id, summary)
        .description(
            "`Range`, `If-Range` and `If-None-Match` are honoured (RFC 9110), one range a call. 404 `not-yet` while the event goes on \
             and its clip is made.",
        )
        .response_with::<200, (), _>(|mut response| {
            response.inner().content = media();
            response.description("the file")
        })
        .response_with::<206, (), _>(|mut response| {
            response.inner().content = media();
            response.description("the range that was asked for")
        })
        .response_with::<304, (), _>(|response| response.description("as it was"))
        .response::<416, Problem>()
}

/// The event and where its evidence is.
async fn kept<'a>(app: &'a App, id: &str) -> Result<(&'a Clips, EventRecord), Problem> {
    let wanted = id.to_owned();
    let found = app.history.read(move |file| query::event(file, &wanted)).await?;
    let event = found.ok_or_else(|| Problem::not_found(format!("there is no event \"{id}\"")))?;
    let clips = app.clips.as_ref().filter(|_| event.evidence.is_some());
    let nothing = || {
        let detail = format!(
            "nothing is kept of events of \"{}\" to be looked at; docs/clips.md says how",
            event.stream_id
        );
        Problem::new(StatusCode::NOT_FOUND, "not-kept", detail)
    };
    Ok((clips.ok_or_else(nothing)?, event))
}

/// The stream of an event, and its clip as a file that is gone with what is given back.
pub async fn to_file(app: &App, id: &str) -> Result<(String, tempfile::TempPath), Problem> {
    let (clips, event) = kept(app, id).await?;
    let absent = |absent: Absent| match absent {
        Absent::Store(_) => Problem::unavailable(absent.to_string()),
        _ => Problem::not_found(format!("there is no clip of \"{id}\": {absent}")),
    };
    let found = clips.find(&event.stream_id, id, Piece::Clip).await.map_err(absent)?;
    let mut read = std::pin::pin!(found.read(0..found.size).await.map_err(absent)?);
    let failed = |error: std::io::Error| {
        Problem::unavailable(format!("the clip cannot be kept for a moment: {error}"))
    };
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    while let Some(bytes) = read.next().await {
        std::io::Write::write_all(&mut file, &bytes.map_err(failed)?).map_err(failed)?;
    }
    Ok((event.stream_id, file.into_temp_path()))
}

/// Why there is none.
fn missing(absent: Absent, event: &EventRecord) -> Response {
    let detail = absent.to_string();
    match absent {
        Absent::NotYet => not_yet(detail),
        Absent::Unknown if event.phase != Phase::Ended => not_yet(Absent::NotYet.to_string()),
        Absent::Dropped(_) => Problem::new(StatusCode::GONE, "dropped", detail).into_response(),
        Absent::Deleted(_) | Absent::Unknown => {
            Problem::new(StatusCode::GONE, "deleted", detail).into_response()
        }
        Absent::Store(_) => Problem::unavailable(detail).into_response(),
    }
}

fn not_yet(detail: String) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "not-yet", detail);
    ([(header::RETRY_AFTER, AGAIN)], problem).into_response()
}

async fn serve(
    app: &App,
    id: &str,
    piece: Piece,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response, Response> {
    let (clips, event) = kept(app, id).await.map_err(IntoResponse::into_response)?;
    let found = clips.find(&event.stream_id, id, piece).await.map_err(|absent| missing(absent, &event))?;
    let tag = format!("\"{}\"", found.tag);
    let answer = answer(method, asked, &tag, modified(&found), found.size);
    let (status, range) = match answer {
        Asked::Known => (StatusCode::NOT_MODIFIED, 0..0),
        Asked::All => (StatusCode::OK, 0..found.size),
        Asked::Part(ref range) => (StatusCode::PARTIAL_CONTENT, range.clone()),
        Asked::Outside => {
            let detail = format!("it has {} bytes, and the range lies outside of them", found.size);
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", detail);
            let all = [(header::CONTENT_RANGE, format!("bytes */{}", found.size))];
            return Err((all, problem).into_response());
        }
    };
    let length = range.end - range.start;
    let body = if length == 0 || *method == Method::HEAD {
        Body::empty()
    } else {
        let read = found.read(range.clone()).await;
        Body::from_stream(read.map_err(|absent| missing(absent, &event))?)
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, &tag);
    set(header::LAST_MODIFIED, &httpdate::fmt_http_date(modified(&found)));
    set(header::ACCEPT_RANGES, "bytes");
    set(header::CACHE_CONTROL, "private, no-cache");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if status != StatusCode::NOT_MODIFIED {
        set(header::CONTENT_TYPE, found.media_type);
        set(header::CONTENT_LENGTH, &length.to_string());
        set(header::CONTENT_DISPOSITION, &format!("inline; filename=\"{}\"", found.file_name));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        set(header::CONTENT_RANGE, &format!("bytes {}-{}/{}", range.start, range.end - 1, found.size));
    }
    Ok(response)
}

fn modified(found: &Found) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(found.modified.0.max(0) as u64 / 1_000_000_000)
}

/// What a call wants of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// Nothing: it has it.
    Known,
    All,
    Part(Range<u64>),
    /// Bytes that it does not have.
    Outside,
}

/// RFC 9110, sections 13 and 14. What is no range of bytes, or several ranges, is no range; all of the file is an answer to any.
fn answer(method: &Method, asked: &HeaderMap, tag: &str, modified: SystemTime, size: u64) -> Asked {
    let text = |name| asked.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(known) = text(header::IF_NONE_MATCH) {
        let same = |one: &str| one == "*" || one.trim_start_matches("W/") == tag;
        if known.split(',').map(str::trim).any(same) {
            return Asked::Known;
        }
    }
    let unchanged = text(header::IF_RANGE).is_none_or(|known| match known.starts_with(['"', 'W']) {
        true => known == tag,
        // Exactly as it was given, which is to the second.
        false => httpdate::parse_http_date(known).is_ok_and(|known| known == modified),
    });
    let range = text(header::RANGE).filter(|_| *method == Method::GET && unchanged);
    match range.and_then(|range| parsed(range, size)) {
        None => Asked::All,
        Some(range) if range.is_empty() => Asked::Outside,
        Some(range) => Asked::Part(range),
    }
}

/// One range of bytes; an empty one where it lies outside of the file.
fn parsed(text: &str, size: u64) -> Option<Range<u64>> {
    let (unit, set) = text.split_once('=')?;
    let (first, last) = set.split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than any file has, where it is more than can be counted.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), last.trim()) {
        (Some(first), "") => Some(first.min(size)..size),
        (Some(first), last) => {
            let last = number(last).filter(|last| *last >= first)?;
            Some(first.min(size)..last.saturating_add(1).min(size))
        }
        (None, last) if first.trim().is_empty() => Some(size.saturating_sub(number(last)?)..size),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(header::HeaderName, &str)]) -> Asked {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value")));
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        answer(&Method::GET, &headers.collect(), "\"a-1\"", modified, 100)
    }

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        for (range, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=10-19", Asked::Part(10..20)),
            ("bytes=90-", Asked::Part(90..100)),
            ("bytes=90-1000", Asked::Part(90..100)),
            ("bytes=-10", Asked::Part(90..100)),
            ("bytes=-1000", Asked::Part(0..100)),
            ("Bytes=5-5", Asked::Part(5..6)),
            ("bytes=100-", Asked::Outside),
            ("bytes=100-200", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=99999999999999999999999-", Asked::Outside),
            ("bytes=9-5", Asked::All),
            ("bytes=a-b", Asked::All),
            ("bytes=+1-2", Asked::All),
            ("bytes=0-1,5-6", Asked::All),
            ("seconds=0-1", Asked::All),
            ("bytes", Asked::All),
        ] {
            assert_eq!(asked(&[(header::RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn a_range_of_what_has_changed_is_all_of_it() {
        for (known, same) in [
            ("\"a-1\"", true),
            ("\"a-2\"", false),
            // A weak tag says nothing of bytes.
            ("W/\"a-1\"", false),
            ("Sun, 09 Sep 2001 01:46:40 GMT", true),
            ("Sun, 09 Sep 2001 01:46:41 GMT", false),
            ("nonsense", false),
        ] {
            let expected = if same { Asked::Part(0..10) } else { Asked::All };
            assert_eq!(
                asked(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, known)]),
                expected,
                "{known}"
            );
        }
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        for (known, expected) in [
            ("\"a-1\"", Asked::Known),
            ("\"b\", W/\"a-1\"", Asked::Known),
            ("*", Asked::Known),
            ("\"a-2\"", Asked::All),
        ] {
            assert_eq!(asked(&[(header::IF_NONE_MATCH, known)]), expected, "{known}");
        }
        let head = answer(
            &Method::HEAD,
            &[(header::RANGE, "bytes=0-1".parse().expect("a value"))].into_iter().collect(),
            "\"a\"",
            SystemTime::UNIX_EPOCH,
            9,
        );
        assert_eq!(head, Asked::All);
    }
}
