//! Which units of a ring make a clip. A clip begins with a key frame, holds one format of each track, and its sound where its picture is.

use gstreamer as gst;

use super::Cut;
use crate::source::ring::{Encoding, Placed, Ring};
use crate::stream::Medium;
use crate::timeline::StreamTime;

/// A difference that nobody notices.
const NOTICED: f64 = 0.5;
/// Frames are decoded before others that are shown up to so long before them.
const REORDERED: i64 = 2_000_000_000;

/// What a clip is made of. Times are stream time in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    pub video: Option<Strand>,
    pub audio: Option<Strand>,
    /// What is not as it was wanted.
    pub remarks: Vec<String>,
}

/// The units of one track, in the order of decoding, all of one format. Never empty.
#[derive(Debug, Clone)]
pub(super) struct Strand {
    pub encoding: Encoding,
    pub units: Vec<Timed>,
}

/// A unit with its times of a clip: decoded in their order, and none after it is shown.
#[derive(Debug, Clone)]
pub(super) struct Timed {
    pub buffer: gst::Buffer,
    pub is_key: bool,
    pub pts: i64,
    pub dts: i64,
    pub duration: i64,
}

impl Strand {
    /// The first instant.
    pub fn start(&self) -> i64 {
        self.units.iter().map(|unit| unit.pts).min().unwrap_or(0)
    }

    /// The end of the last unit.
    pub fn end(&self) -> i64 {
        self.units.iter().map(|unit| unit.pts + unit.duration).max().unwrap_or(0)
    }

    /// When the first unit is decoded.
    pub fn first_dts(&self) -> i64 {
        self.units.first().map_or(0, |unit| unit.dts)
    }
}

/// What a ring holds for a clip.
pub(super) fn choose(ring: &Ring, cut: &Cut) -> Span {
    let (video, audio) = (ring.units(Medium::Video), ring.units(Medium::Audio));
    let mut remarks = Vec::new();
    let video = strand(pictures(video, cut), cut, "picture", &mut remarks);
    let from = video.as_ref().map_or(cut.from.0, Strand::start);
    let sounds: Vec<Placed> = audio.into_iter().filter(|unit| (from..cut.to.0).contains(&unit.pts)).collect();
    let audio = strand(sounds, cut, "sound", &mut remarks);
    let starts = video.as_ref().or(audio.as_ref()).map(Strand::start);
    if let Some(start) = starts.map(StreamTime) {
        let late = start.since(cut.from).as_secs_f64();
        if late > NOTICED {
            remarks.push(format!(
                "begins {late:.1} s late: nothing older is kept, or no key frame is before it"
            ));
        }
    }
    Span { video, audio, remarks }
}

/// From the last key frame at or before the beginning, or else the first one after it.
fn pictures(units: Vec<Placed>, cut: &Cut) -> Vec<Placed> {
    let key = |unit: &Placed| unit.unit.is_key;
    let there = |unit: &Placed| (cut.from.0..cut.to.0).contains(&unit.pts);
    if !units.iter().any(there) {
        return Vec::new();
    }
    let before = units.iter().rposition(|unit| key(unit) && unit.pts <= cut.from.0);
    let first = before.or_else(|| units.iter().position(|unit| key(unit) && unit.pts < cut.to.0));
    let Some(first) = first else { return Vec::new() };
    let last = units.iter().rposition(|unit| unit.pts < cut.to.0).unwrap_or(first);
    units.into_iter().take(last + 1).skip(first).collect()
}

/// The units of one format: that which is in use at the surest moment. What is shown long before its predecessor, as after a jump, is left out.
fn strand(units: Vec<Placed>, cut: &Cut, kind: &str, remarks: &mut Vec<String>) -> Option<Strand> {
    let at = units.iter().rposition(|unit| unit.pts <= cut.surest.0).unwrap_or(0);
    let encoding = units.get(at)?.unit.encoding.clone();
    let same = |unit: &Placed| unit.unit.encoding == encoding;
    let first = units[..at].iter().rposition(|unit| !same(unit)).map_or(0, |other| other + 1);
    let last = units[at..].iter().position(|unit| !same(unit)).map_or(units.len(), |other| at + other);
    if first > 0 || last < units.len() {
        remarks.push(format!("the format of its {kind} changed: only one is in the clip"));
    }
    let mut newest = i64::MIN;
    let mut kept: Vec<Placed> = Vec::with_capacity(last - first);
    for unit in units.into_iter().take(last).skip(first) {
        let begins = kept.is_empty() && !unit.unit.is_key;
        if !begins && unit.pts >= newest.saturating_sub(REORDERED) {
            newest = newest.max(unit.pts);
            kept.push(unit);
        }
    }
    (!kept.is_empty()).then(|| Strand { encoding, units: timed(kept) })
}

/// Gives units their times. Where a source does not say when they are decoded, or says what cannot be, it is as late as their order allows.
fn timed(units: Vec<Placed>) -> Vec<Timed> {
    let said: Option<Vec<i64>> = units.iter().map(|unit| unit.dts.filter(|dts| *dts <= unit.pts)).collect();
    let dts = said.filter(|dts| dts.is_sorted()).unwrap_or_else(|| {
        let shown: Vec<i64> = units.iter().map(|unit| unit.pts).collect();
        let mut sorted = shown.clone();
        sorted.sort_unstable();
        let ahead = sorted.iter().zip(&shown).map(|(dts, pts)| dts - pts).max().unwrap_or(0);
        sorted.iter().map(|dts| dts - ahead).collect()
    });
    let of = |(placed, dts): (Placed, i64)| {
        let Placed { unit, pts, .. } = placed;
        Timed { buffer: unit.buffer, is_key: unit.is_key, pts, dts, duration: unit.duration }
    };
    units.into_iter().zip(dts).map(of).collect()
}
