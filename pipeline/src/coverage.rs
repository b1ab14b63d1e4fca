//! Which spans of a stream were watched, and why others were not: windows overlap, the records tile. `docs/events.md`
//! states the rules. Pure: reads no clock.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::CoverageRecord;
use crate::stream::{Presence, StreamId};
use crate::timeline::{ClockAnchor, StreamTime};

/// The reason where windows leave time out.
const NO_WINDOW: &str = "no window holds this span";

/// How windows become coverage records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Length of the stream's windows.
    pub length: Duration,
    /// From the start of a window to the start of the next.
    pub hop: Duration,
    /// Neighbours that say the same become one record up to this long. With one hop there is a record for each window,
    /// as soon as it is settled; a longer one is published later and saves records. At least a millisecond.
    pub longest: Duration,
}

impl LedgerConfig {
    /// One record for each hop.
    pub fn new(length: Duration, hop: Duration) -> Self {
        Self { length, hop, longest: hop }
    }
}

/// The window, or the consecutive windows with one fate, that a [`Ledger`] is told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Start of the (first) window.
    pub start: StreamTime,
    /// End of the (last) window.
    pub end: StreamTime,
    /// Where the stream ended, if it did so inside; else `end`.
    pub until: StreamTime,
    /// Maps its times to capture time.
    pub anchor: ClockAnchor,
}

/// What a window held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// How much audio.
    pub audio: Presence,
    /// How much video.
    pub video: Presence,
    /// Why some is missing, for a person; `None` when nothing is.
    pub missing: Option<String>,
}

impl Held {
    /// Neither audio nor video, as in a blind window.
    pub fn nothing(reason: impl Into<String>) -> Self {
        Self { audio: Presence::Missing, video: Presence::Missing, missing: Some(reason.into()) }
    }
}

/// What became of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coverage {
    /// The model answered.
    Watched(Held),
    /// It did not.
    NotWatched {
        /// What it would have seen.
        held: Held,
        /// Why not, for a person: `shed: ...`, `blind: ...`, `failed: ...`.
        reason: String,
    },
}

/// The coverage of one stream.
///
/// Windows must come in the order of their index, each once; [`InOrder`](crate::track::InOrder) helps. Whatever comes,
/// the records of a stream touch each other, begin at its start and end where [`finish`](Self::finish) says.
#[derive(Debug)]
pub struct Ledger {
    stream: StreamId,
    config: LedgerConfig,
    books: Books,
}

/// What a [`Ledger`] knows of a stream, to be kept: another goes on from it, and leaves no hole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Books {
    /// Windows that reach beyond `decided`, oldest first.
    settled: VecDeque<(Span, Coverage)>,
    /// Everything before is in records or in `open`.
    decided: StreamTime,
    /// The record in the making.
    open: Option<(StreamTime, StreamTime, ClockAnchor, Verdict)>,
    /// For time that no window holds.
    anchor: Option<ClockAnchor>,
}

/// What a record says besides its span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    watched: bool,
    audio: Presence,
    video: Presence,
    reason: Option<String>,
}

impl Ledger {
    /// A stream's beginning, stream time zero.
    pub fn new(stream: StreamId, config: LedgerConfig) -> Self {
        Self::resumed(stream, config, Books::default())
    }

    /// Goes on with a stream of which another knew this.
    pub fn resumed(stream: StreamId, config: LedgerConfig, books: Books) -> Self {
        Self { stream, config, books }
    }

    /// How it makes records.
    pub fn config(&self) -> LedgerConfig {
        self.config
    }

    /// What it knows.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Takes what became of a window. Returns what no window to come can change.
    pub fn settle(&mut self, window: Span, outcome: Coverage) -> Vec<CoverageRecord> {
        let next = window.end.minus(self.config.length).plus(self.config.hop);
        if window.until <= self.books.decided {
            tracing::warn!(stream = %self.stream, start = window.start.as_secs_f64(),
                "a window came after its span was published; it is left out of the coverage");
            return Vec::new();
        }
        self.books.settled.push_back((window, outcome));
        self.decide(next.min(window.until))
    }

    /// The stream ended at `end`. Returns the rest; nothing may follow.
    pub fn finish(&mut self, end: StreamTime) -> Vec<CoverageRecord> {
        let mut records = self.decide(end);
        records.extend(self.books.open.take().map(|open| self.record(open)));
        records
    }

    /// Everything before `until` is known.
    fn decide(&mut self, until: StreamTime) -> Vec<CoverageRecord> {
        let mut records = Vec::new();
        while self.books.decided < until {
            let (from, to) = (self.books.decided, self.next_edge().map_or(until, |edge| edge.min(until)));
            let (anchor, verdict) = self.judge(from);
            self.books.anchor = Some(anchor);
            self.extend(from, to, anchor, verdict, &mut records);
            self.books.decided = to;
        }
        self.books.settled.retain(|(span, _)| span.until > self.books.decided);
        records
    }

    /// Where, after what is decided, a window starts or ends first.
    fn next_edge(&self) -> Option<StreamTime> {
        let edges = self.books.settled.iter().flat_map(|(span, _)| [span.start, span.until]);
        edges.filter(|edge| *edge > self.books.decided).min()
    }

    /// What the windows at `time` say together.
    fn judge(&self, time: StreamTime) -> (ClockAnchor, Verdict) {
        let windows =
            || self.books.settled.iter().filter(|(span, _)| span.start <= time && time < span.until);
        let newest = windows().next_back().or(self.books.settled.front()).map(|(span, _)| span.anchor);
        let anchor = match windows().next_back() {
            Some((span, _)) => Some(span.anchor),
            None => self.books.anchor.or(newest),
        };
        let unknown = ClockAnchor { stream: time, utc: crate::timeline::UtcTime(0) };
        let held = || windows().map(|(_, outcome)| outcome.held());
        let (audio, video) =
            (together(held().map(|held| held.audio)), together(held().map(|held| held.video)));
        let answered = windows().any(|(_, outcome)| matches!(outcome, Coverage::Watched(_)));
        // A window that held something elsewhere was answered, but of this nothing was seen or heard.
        let watched = answered && (audio, video) != (Presence::Missing, Presence::Missing);
        let reason = if watched {
            let complete = audio == Presence::Present && video == Presence::Present;
            let seen = windows().filter(|(_, outcome)| matches!(outcome, Coverage::Watched(_)));
            let missing = seen.filter_map(|(_, outcome)| outcome.held().missing.as_deref());
            if complete { None } else { joined(missing) }
        } else if answered {
            let missing = joined(held().filter_map(|held| held.missing.as_deref()));
            Some(missing.map_or_else(|| NO_WINDOW.into(), |missing| format!("blind: {missing}")))
        } else {
            joined(windows().filter_map(|(_, outcome)| outcome.reason())).or_else(|| Some(NO_WINDOW.into()))
        };
        (anchor.unwrap_or(unknown), Verdict { watched, audio, video, reason })
    }

    /// Adds `[from, to)` to the record in the making, in pieces no longer than a record may be.
    fn extend(
        &mut self,
        from: StreamTime,
        to: StreamTime,
        anchor: ClockAnchor,
        verdict: Verdict,
        records: &mut Vec<CoverageRecord>,
    ) {
        let longest = self.config.longest.max(Duration::from_millis(1));
        let mut from = from;
        while from < to {
            let (start, anchor) = match self.books.open.take() {
                Some((start, _, anchor, known)) if known == verdict => (start, anchor),
                other => {
                    records.extend(other.map(|open| self.record(open)));
                    (from, anchor)
                }
            };
            let end = to.min(start.plus(longest));
            let open = (start, end, anchor, verdict.clone());
            if end.since(start) < longest {
                self.books.open = Some(open);
            } else {
                records.push(self.record(open));
            }
            from = end;
        }
    }

    fn record(
        &self,
        (start, end, anchor, verdict): (StreamTime, StreamTime, ClockAnchor, Verdict),
    ) -> CoverageRecord {
        CoverageRecord {
            stream_id: self.stream.to_string(),
            start: anchor.instant(start),
            end: anchor.instant(end),
            watched: verdict.watched,
            audio: verdict.audio,
            video: verdict.video,
            reason: verdict.reason,
        }
    }
}

impl Coverage {
    fn held(&self) -> &Held {
        match self {
            Self::Watched(held) | Self::NotWatched { held, .. } => held,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Watched(_) => None,
            Self::NotWatched { reason, .. } => Some(reason),
        }
    }
}

/// What overlapping windows say of what they share: a full one and an empty one are sure of every instant, one that is
/// partly filled is not.
fn together(presences: impl Iterator<Item = Presence>) -> Presence {
    let rank = |presence: &Presence| match presence {
        Presence::Present => 2,
        Presence::Missing => 1,
        Presence::Partial => 0,
    };
    presences.max_by_key(rank).unwrap_or(Presence::Missing)
}

/// Between the parts of a reason.
const AND: &str = "; ";

/// Different reasons, each part once: two windows may say partly the same.
fn joined<'a>(reasons: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut unique: Vec<&str> = Vec::new();
    for part in reasons.flat_map(|reason| reason.split(AND)) {
        if !unique.contains(&part) {
            unique.push(part);
        }
    }
    (!unique.is_empty()).then(|| unique.join(AND))
}
