//! Why slots are empty, in words.

use super::notes::Gaps;
use crate::stream::{Medium, Presence};

/// What is known of one track of a stream, in nanoseconds of stream time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Carried {
    /// Does the source carry it? `None` before it was said.
    pub has: Option<bool>,
    /// The start of its first frame or sample.
    pub first: Option<i64>,
    /// The end of its newest.
    pub end: Option<i64>,
}

impl Carried {
    /// A frame or samples came.
    pub fn came(&mut self, start: i64, end: i64) {
        self.first = Some(self.first.map_or(start, |first| first.min(start)));
        self.end = self.end.max(Some(end));
    }
}

/// Collects a window's empty slots of one track.
#[derive(Debug)]
pub(super) struct Missing<'a> {
    track: Medium,
    carried: Carried,
    ended: Option<i64>,
    gaps: &'a Gaps,
    /// Each reason with the slots it explains.
    reasons: Vec<(Reason<'a>, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason<'a> {
    Ended,
    NotCarried,
    Gap(&'a str),
    NotStarted,
    Stopped,
    Hole,
}

impl<'a> Missing<'a> {
    pub fn new(track: Medium, carried: Carried, ended: Option<i64>, gaps: &'a Gaps) -> Self {
        Self { track, carried, ended, gaps, reasons: Vec::new() }
    }

    /// The slot `[start, end)` is empty.
    pub fn slot(&mut self, start: i64, end: i64) {
        let reason = self.reason(start, end);
        match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, slots)) => *slots += 1,
            None => self.reasons.push((reason, 1)),
        }
    }

    fn reason(&self, start: i64, end: i64) -> Reason<'a> {
        let Carried { has, first, end: newest } = self.carried;
        if self.ended.is_some_and(|over| end > over) {
            return Reason::Ended;
        }
        if has == Some(false) && newest.is_none_or(|newest| end > newest) {
            return Reason::NotCarried;
        }
        if let Some(gap) = self.gaps.over(start, end) {
            return Reason::Gap(&gap.reason);
        }
        match (first, newest) {
            (Some(first), Some(newest)) if first < end => {
                if end > newest {
                    Reason::Stopped
                } else {
                    Reason::Hole
                }
            }
            _ => Reason::NotStarted,
        }
    }

    /// How many of `slots` slots are filled, and the reason that explains most of the empty ones.
    pub fn verdict(self, slots: usize) -> (Presence, Option<String>) {
        let name = self.track.name();
        if slots == 0 {
            return (Presence::Missing, Some(format!("the model does not use {name}")));
        }
        let empty: usize = self.reasons.iter().map(|(_, slots)| slots).sum();
        let presence = match empty {
            0 => Presence::Present,
            empty if empty == slots => Presence::Missing,
            _ => Presence::Partial,
        };
        // Of equals, the one that came first in time.
        let most = self.reasons.iter().rev().max_by_key(|(_, slots)| slots);
        let reason = most.map(|(reason, _)| match reason {
            Reason::Ended => "the stream ended".to_owned(),
            Reason::NotCarried => format!("the source has no {name}"),
            Reason::Gap(reason) => (*reason).to_owned(),
            Reason::NotStarted => format!("{name} has not started yet"),
            Reason::Stopped => format!("{name} stopped"),
            Reason::Hole => format!("{name} has holes"),
        });
        (presence, reason)
    }
}

/// Why a window without any gap holds nothing.
pub(super) fn nothing(carried: &[Carried; 2]) -> String {
    if carried.iter().all(|carried| carried.has == Some(false)) {
        "the source has neither audio nor video".to_owned()
    } else if carried.iter().all(|carried| carried.first.is_none()) {
        "the source has not delivered anything yet".to_owned()
    } else {
        "the source delivered nothing".to_owned()
    }
}
