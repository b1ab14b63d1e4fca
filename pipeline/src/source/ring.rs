//! The last minutes of a source as they came, encoded: what clips are cut from. What the decoder gets is kept a second time, so there is no
//! second connection, no second decoder and no encoder.
//!
//! An access unit arrives before it is decoded, and only what is decoded is placed in stream time. So units are kept at their running time,
//! and [`Ring::placed`] says later how that maps to stream time.

pub(super) mod tap;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use serde::{Deserialize, Serialize};

use crate::stream::Medium;
use crate::timeline::StreamTime;

/// How much of a source is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingConfig {
    /// Nothing older than this, in stream time.
    pub time: Duration,
    /// No more bytes than this, of both tracks together.
    pub bytes: usize,
}

/// What a unit costs beside its bytes.
const OVERHEAD: usize = 512;

/// How units are encoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Encoding {
    pub caps: gst::Caps,
    /// How a picture is to be turned, as tags of GStreamer have it; `None` as it is.
    pub orientation: Option<String>,
}

/// One access unit, as a decoder takes it.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Its bytes and flags; its own time stamps mean nothing.
    pub buffer: gst::Buffer,
    pub encoding: Encoding,
    /// Running times in nanoseconds; many sources say nothing true of when a unit is to be decoded.
    pub pts: i64,
    pub dts: Option<i64>,
    pub duration: i64,
    /// Can be decoded without those before it.
    pub is_key: bool,
    /// Which connection it came by.
    pub generation: u64,
    /// In the order of arrival, of both tracks.
    number: u64,
}

/// A unit at its place in stream time, in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub unit: Unit,
    pub pts: i64,
    pub dts: Option<i64>,
}

/// From this running time of a connection on, stream time is `offset` ahead of it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    generation: u64,
    pts: i64,
    offset: i64,
}

#[derive(Debug, Default)]
struct TrackState {
    units: VecDeque<Unit>,
    marks: VecDeque<Mark>,
    /// The connection whose first key unit has come.
    begun: Option<u64>,
    /// The connection whose decoder is watched.
    tapped: Option<u64>,
}

#[derive(Debug)]
struct State {
    tracks: [TrackState; 2],
    bytes: usize,
    number: u64,
    /// How far stream time has come, and when that was said.
    reached: (StreamTime, Instant),
    over: bool,
}

/// Shared by a source's connections, one after the other.
#[derive(Debug)]
pub(super) struct Ring {
    config: RingConfig,
    state: Mutex<State>,
}

impl Ring {
    pub fn new(config: RingConfig) -> Self {
        let state = State {
            tracks: Default::default(),
            bytes: 0,
            number: 0,
            reached: (StreamTime::ZERO, Instant::now()),
            over: false,
        };
        Self { config, state: Mutex::new(state) }
    }

    /// The decoder of a track is watched from now on; `false` where one of this connection is already.
    pub fn tap(&self, track: Medium, generation: u64) -> bool {
        self.lock().tracks[track as usize].tapped.replace(generation) != Some(generation)
    }

    /// Keeps a unit, which is copied: what a plugin hands over may be a small part of a large block of memory.
    pub fn push(
        &self,
        track: Medium,
        generation: u64,
        encoding: &Encoding,
        buffer: &gst::BufferRef,
        times: (i64, Option<i64>),
    ) {
        let is_key = track == Medium::Audio || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let mut state = self.lock();
        let own = &mut state.tracks[track as usize];
        if own.begun != Some(generation) {
            if !is_key {
                return;
            }
            own.begun = Some(generation);
        }
        let Ok(bytes) = buffer.map_readable() else { return };
        let mut copy = gst::Buffer::from_slice(bytes.to_vec());
        let kept = gst::BufferFlags::DELTA_UNIT | gst::BufferFlags::HEADER | gst::BufferFlags::DISCONT;
        copy.make_mut().set_flags(buffer.flags() & kept);
        let last = own.units.back().map(|unit| &unit.encoding).filter(|last| *last == encoding);
        let encoding = last.unwrap_or(encoding).clone();
        let (pts, dts) = times;
        let duration = buffer.duration().map_or(0, |duration| duration.nseconds() as i64);
        let number = state.number;
        state.number += 1;
        state.bytes += copy.size() + OVERHEAD;
        let unit = Unit { buffer: copy, encoding, pts, dts, duration, is_key, generation, number };
        state.tracks[track as usize].units.push_back(unit);
        state.shorten(&self.config);
    }

    /// What was decoded of running time `pts` of a connection is at `stream`.
    pub fn placed(&self, track: Medium, generation: u64, pts: i64, stream: StreamTime) {
        let mut state = self.lock();
        let offset = stream.0.saturating_sub(pts);
        let TrackState { units, marks, .. } = &mut state.tracks[track as usize];
        if units.is_empty() {
            marks.clear();
        }
        let same = |mark: &Mark| mark.generation == generation && mark.offset == offset;
        if !marks.back().is_some_and(same) {
            marks.push_back(Mark { generation, pts, offset });
        }
        if stream > state.reached.0 {
            state.reached = (stream, Instant::now());
        }
    }

    /// How far stream time has come, and how long that is ago.
    pub fn reached(&self) -> (StreamTime, Duration) {
        let (stream, when) = self.lock().reached;
        (stream, when.elapsed())
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.lock().over = true;
    }

    /// Will nothing more come?
    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    /// All units of a track whose place is known, in the order of decoding.
    pub fn units(&self, track: Medium) -> Vec<Placed> {
        let state = self.lock();
        let own = &state.tracks[track as usize];
        let place = |unit: &Unit| {
            let offset = own.offset(unit)?;
            let dts = unit.dts.map(|dts| dts + offset);
            Some(Placed { pts: unit.pts + offset, dts, unit: unit.clone() })
        };
        own.units.iter().filter_map(place).collect()
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TrackState {
    /// Stream time minus running time of a unit: by the last mark at or before it, or else by the first of its connection.
    fn offset(&self, unit: &Unit) -> Option<i64> {
        let own = self.marks.iter().filter(|mark| mark.generation == unit.generation);
        let mut found = None;
        for mark in own {
            if found.is_none() || mark.pts <= unit.pts {
                found = Some(mark.offset);
            }
        }
        found
    }
}

impl State {
    /// Lets the oldest go until what is left is short and small enough.
    fn shorten(&mut self, config: &RingConfig) {
        let oldest = self.reached.0.minus(config.time);
        while let Some(track) = self.oldest() {
            let own = &self.tracks[track];
            let Some(unit) = own.units.front() else { break };
            let is_old = match own.offset(unit) {
                Some(offset) => StreamTime(unit.pts + offset) < oldest,
                // Of a connection of which nothing was ever decoded.
                None => own.begun != Some(unit.generation),
            };
            if !is_old && self.bytes <= config.bytes {
                break;
            }
            self.forget_first(track);
        }
    }

    /// The track whose first unit came first.
    fn oldest(&self) -> Option<usize> {
        let first = |track: &usize| self.tracks[*track].units.front().map(|unit| unit.number);
        (0..2).filter(|track| first(track).is_some()).min_by_key(first)
    }

    fn forget_first(&mut self, track: usize) {
        let own = &mut self.tracks[track];
        let Some(unit) = own.units.pop_front() else { return };
        self.bytes -= unit.buffer.size() + OVERHEAD;
        let Some(first) = own.units.front() else { return };
        let (generation, pts) = (first.generation, first.pts);
        // Marks before the one that the oldest unit goes by are of no use any more.
        while own.marks.get(1).is_some_and(|next| (next.generation, next.pts) <= (generation, pts)) {
            own.marks.pop_front();
        }
    }
}
