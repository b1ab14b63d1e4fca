//! Stream time, capture time and the sampling grid.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod age;
mod mapper;

pub use age::Ages;
pub use mapper::{Hole, HoleCause, Placed, Rules, Stamp, Timeline};

use crate::stream::Instant;

/// Nanoseconds since the stream's first sample, or since a live source that was not there was first looked for. Monotonic
/// for the life of a stream: a reconnect, a looping file or a jump of the source's PTS continues it, and never resets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct StreamTime(pub i64);

/// Nanoseconds since the Unix epoch: when the camera or microphone captured the sample, as well as we know it
/// ([`ClockQuality`] says how well).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UtcTime(pub i64);

/// Where capture time comes from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClockQuality {
    /// The source's own wall clock (RTCP sender reports with NTP time).
    Ntp,
    /// The source's PTS, anchored at the wall-clock time of the first sample.
    Pts,
    /// The wall-clock time at which samples reached this process.
    Arrival,
}

/// One instant on both clocks: maps stream time to capture time until the next anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAnchor {
    /// The instant in stream time.
    pub stream: StreamTime,
    /// The same instant as captured.
    pub utc: UtcTime,
}

impl ClockAnchor {
    /// Capture time of `stream`, as this anchor knows it.
    pub fn utc_at(self, stream: StreamTime) -> UtcTime {
        self.utc.offset(stream.0.saturating_sub(self.stream.0))
    }

    /// `stream` on both clocks, as records tell it.
    pub fn instant(self, stream: StreamTime) -> Instant {
        Instant { stream: stream.as_secs_f64(), utc: self.utc_at(stream).to_rfc3339() }
    }
}

impl StreamTime {
    /// The beginning.
    pub const ZERO: Self = Self(0);

    /// From seconds; rounds to the nanosecond.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1e9).round() as i64)
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// This time plus `span`.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// This time minus `span`; may be before the stream's start.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

/// Seconds for a person: `0:03.0`, and `1:02:03.4` where there are hours. What is before the beginning is the beginning.
pub fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let (hours, minutes, rest) = (tenths / 36_000, tenths / 600 % 60, tenths % 600);
    let (seconds, tenth) = (rest / 10, rest % 10);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{tenth}")
    } else {
        format!("{minutes}:{seconds:02}.{tenth}")
    }
}

impl UtcTime {
    /// The machine's wall clock.
    pub fn now() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since_epoch.map_or(0, nanos))
    }

    /// This time moved by `nanos` nanoseconds.
    pub fn offset(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// RFC 3339 with milliseconds, as CloudEvents and the records want it: `2026-11-24T02:45:39.120Z`.
    pub fn to_rfc3339(self) -> String {
        let timestamp = Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(Timestamp::UNIX_EPOCH);
        format!("{timestamp:.3}")
    }

    /// Reads [`UtcTime::to_rfc3339`] back, or any RFC 3339 time with an offset; `None` for what is none. Before 1678 and
    /// after 2261 the nearest time that can be held.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let timestamp: Timestamp = text.parse().ok()?;
        let held = timestamp.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into());
        i64::try_from(held).ok().map(Self)
    }

    /// Whole milliseconds since 1970.
    pub fn milliseconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds from `earlier` to this time; negative when it is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e9
    }
}

impl From<UtcTime> for std::time::SystemTime {
    fn from(time: UtcTime) -> Self {
        let span = Duration::from_nanos(time.0.unsigned_abs());
        match time.0 < 0 {
            true => Self::UNIX_EPOCH - span,
            false => Self::UNIX_EPOCH + span,
        }
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// Number of a grid point: `period * index` in stream time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GridIndex(pub i64);

/// The fixed instants at which one stream is sampled. Windows start on grid points, so overlapping windows share their
/// samples and their embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    period: i64,
}

impl Grid {
    /// `None` when `period` is zero.
    pub fn new(period: Duration) -> Option<Self> {
        let period = nanos(period);
        (period > 0).then_some(Self { period })
    }

    /// The distance of two grid points.
    pub fn period(self) -> Duration {
        Duration::from_nanos(self.period as u64)
    }

    /// The instant of a grid point.
    pub fn at(self, index: GridIndex) -> StreamTime {
        StreamTime(index.0.saturating_mul(self.period))
    }

    /// The grid point at or before `time`.
    pub fn floor(self, time: StreamTime) -> GridIndex {
        GridIndex(time.0.div_euclid(self.period))
    }

    /// The grid point at or after `time`.
    pub fn ceil(self, time: StreamTime) -> GridIndex {
        GridIndex(time.0.div_euclid(self.period) + i64::from(time.0.rem_euclid(self.period) != 0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn utc_prints_as_rfc3339() {
        assert_eq!(UtcTime(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UtcTime(1_709_210_096_789_000_000).to_rfc3339(), "2024-02-29T12:34:56.789Z");
        assert_eq!(UtcTime(-1_000_000).to_rfc3339(), "1969-12-31T23:59:59.999Z");
        assert_eq!(
            UtcTime::from_rfc3339("2024-02-29T12:34:56.789Z"),
            Some(UtcTime(1_709_210_096_789_000_000))
        );
        assert_eq!(UtcTime::from_rfc3339("yesterday"), None);
    }

    #[test]
    fn a_grid_needs_a_period() {
        assert_eq!(Grid::new(Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn floor_and_ceil_enclose_every_time(period in 1u64..10_000_000_000, time in -1_000_000_000_000i64..1_000_000_000_000) {
            let grid = Grid::new(Duration::from_nanos(period)).expect("period is positive");
            let time = StreamTime(time);
            let (below, above) = (grid.floor(time), grid.ceil(time));
            prop_assert!(grid.at(below) <= time && time <= grid.at(above));
            prop_assert!(above.0 - below.0 <= 1);
        }
    }
}
