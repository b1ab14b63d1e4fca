//! `/v1/events/counts`: how much happened, and when.

use aide::transform::TransformOperation;
use avicuna_pipeline::record::Phase;
use avicuna_pipeline::stream::Modality;
use avicuna_pipeline::timeline::UtcTime;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Shared, least_score, span};
use crate::extract::Params;
use crate::history::{EventFilter, Span, counts};
use crate::problem::Problem;

/// Pieces of time of one call.
const MOST_BUCKETS: u64 = 10_000;
/// Seconds of the longest piece: a leap year.
const LONGEST: u64 = 31_622_400;
/// Counts of one call: of all streams together.
const MOST: usize = 100_000;
/// How far back from now or `to` it is looked where nothing is said.
const DAY: i64 = 86_400_000_000_000;

/// Which events, and how they are counted together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Seconds that are counted together, a leap year at most; 60 by default. At most 10000 pieces fit between `from` and `to`.
    #[schemars(range(min = 1, max = LONGEST))]
    bucket: Option<u64>,
    /// Of one stream.
    stream: Option<String>,
    /// Of one label, whatever the case and a leading article.
    label: Option<String>,
    /// What starts before this is left out; RFC 3339. A day before `to`, or before now, by default.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// What starts then or later is left out; RFC 3339. Now by default, or after the newest event of the next day, as events
    /// of a file that is read faster than it plays lie ahead.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    /// Seen, heard, or both.
    modality: Option<Modality>,
    /// At least so sure, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    min_score: Option<f64>,
    /// In this phase now.
    phase: Option<Phase>,
}

/// How many events start when.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Counts {
    /// Where the first piece of time starts.
    #[schemars(extend("format" = "date-time"))]
    from: String,
    /// What starts then or later is not counted.
    #[schemars(extend("format" = "date-time"))]
    to: String,
    /// Seconds of one piece.
    bucket: u64,
    /// All events.
    total: u64,
    /// By stream and time; pieces in which nothing starts are left out.
    counts: Vec<Count>,
}

/// What starts in one piece of time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Count {
    /// Whose.
    stream_id: String,
    /// Where the piece of time starts.
    #[schemars(extend("format" = "date-time"))]
    start: String,
    /// Events that are only seen.
    visual: u64,
    /// Events that are only heard.
    audio: u64,
    /// Events that are both.
    both: u64,
}

pub async fn list(State(app): Shared, Params(filter): Params<Filter>) -> Result<Json<Counts>, Problem> {
    let bucket = filter.bucket.unwrap_or(60);
    if !(1..=LONGEST).contains(&bucket) {
        return Err(Problem::parameter("bucket", format!("must be 1 to {LONGEST} seconds")));
    }
    let min_score = least_score(filter.min_score)?;
    let Span { from, to } = span(filter.from.as_deref(), filter.to.as_deref())?;
    let now = UtcTime::now();
    let from = from.unwrap_or_else(|| to.unwrap_or(now).offset(-DAY));
    let to = match to {
        Some(to) => to,
        None => app
            .history
            .read(move |file| counts::newest(file, now.offset(DAY)))
            .await?
            .map_or(now, |newest| now.max(newest.offset(1_000_000))),
    };
    let pieces = to.seconds_since(from) / bucket as f64;
    if pieces > MOST_BUCKETS as f64 {
        let told = format!(
            "is too short: from {} to {} there are more than {MOST_BUCKETS}",
            from.to_rfc3339(),
            to.to_rfc3339()
        );
        return Err(Problem::parameter("bucket", told));
    }
    let wanted = EventFilter {
        stream: filter.stream,
        label: filter.label,
        modality: filter.modality,
        min_score,
        phase: filter.phase,
        ..EventFilter::default()
    };
    let counted =
        app.history.read(move |file| counts::counts(file, &wanted, (from, to), bucket, MOST + 1)).await?;
    if counted.len() > MOST {
        return Err(Problem::parameter(
            "bucket",
            "is too short for all streams together: name one, or count longer pieces",
        ));
    }
    let count = |count: counts::Count| {
        let after = i64::try_from(u128::from(count.bucket) * u128::from(bucket) * 1_000_000_000);
        Count {
            stream_id: count.stream,
            start: from.offset(after.unwrap_or(i64::MAX)).to_rfc3339(),
            visual: count.visual,
            audio: count.audio,
            both: count.both,
        }
    };
    let counts: Vec<Count> = counted.into_iter().map(count).collect();
    let total = counts.iter().map(|count| count.visual + count.audio + count.both).sum();
    Ok(Json(Counts { from: from.to_rfc3339(), to: to.to_rfc3339(), bucket, total, counts }))
}

pub fn list_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation
        .id("countEvents")
        .tag("events")
        .summary("How many events start when")
        .description("Each event is counted once, where it starts: a day of very many is one small answer.")
        .response::<400, Problem>()
}
