//! From a URI to published events: decoding, one clock, windows, scheduling, answers, tracking, records, the durable
//! outbox and the sinks. `ARCHITECTURE.md` draws the way of one window through these modules.

pub mod answer;
pub mod clips;
pub mod config;
pub mod control;
pub mod coverage;
pub mod daemon;
mod durations;
pub mod fleet;
pub mod outbox;
pub mod percent;
pub mod picture;
pub mod record;
pub mod report;
pub mod schedule;
mod shared;
pub mod sink;
pub mod source;
pub mod stream;
pub mod timeline;
pub mod track;
pub mod trust;
pub mod watching;
pub mod window;
