//! How a stream is: its state, its last trouble and its figures, for those who look and as records.

use std::sync::Arc;

use crate::control::{Control, StreamBoard, StreamMetrics};
use crate::record::{ErrorKind, StreamPhase, StreamRecord};
use crate::source::failure::{Failure, Kind};
use crate::source::{End, SourceEvent};
use crate::stream::{StreamId, StreamState};
use crate::timeline::UtcTime;

use super::record::Record;

/// What is told of one stream's source.
#[derive(Debug)]
pub(super) struct Standing {
    stream: StreamId,
    /// Samples a second.
    rate: f64,
    control: Arc<Control>,
    /// The trouble that was reported last, not to be repeated with every try.
    trouble: Option<Failure>,
    /// The state that was told last, not to be told again with every try.
    told: Option<StreamPhase>,
    /// States to be told.
    states: Vec<StreamRecord>,
}

impl Standing {
    /// Of a stream that has not begun, whose sound has `sample_rate` samples a second.
    pub fn new(stream: StreamId, sample_rate: u32, control: Arc<Control>) -> Self {
        let rate = f64::from(sample_rate.max(1));
        Self { stream, rate, control, trouble: None, told: None, states: Vec::new() }
    }

    /// What a source event says of the stream; trouble that was not reported yet is returned.
    pub fn note(&mut self, event: &SourceEvent) -> Option<(ErrorKind, String)> {
        let stream = self.stream.as_str();
        match event {
            SourceEvent::Connected { attempt, has_audio, has_video, length, .. } => {
                tracing::info!(stream, attempt, has_audio, has_video, "connected");
                if *attempt > 0 && self.trouble.is_some() {
                    self.metrics().reconnect();
                    self.board().reconnected(stream);
                }
                self.trouble = None;
                self.metrics().up(true);
                let length = length.map(|length| length.as_secs_f64());
                self.state(StreamState::Watching { audio: *has_audio, video: *has_video, length });
                None
            }
            SourceEvent::Lost { failure, .. } => {
                self.metrics().up(false);
                self.state(StreamState::Lost { reason: failure.to_string() });
                self.report(failure)
            }
            SourceEvent::Ended(end) => {
                self.metrics().up(false);
                if let End::Failed(failure) = end { self.report(failure) } else { None }
            }
            SourceEvent::Frame(frame) => {
                self.board().frame(stream, frame);
                None
            }
            SourceEvent::Audio(audio) => {
                let end = audio.capture.offset((audio.samples.len() as f64 / self.rate * 1e9) as i64);
                self.board().sample(stream, end);
                None
            }
            SourceEvent::Clock { av_offset_ms, .. } => {
                self.board().av_offset(stream, *av_offset_ms);
                None
            }
            SourceEvent::Losses(losses) => {
                self.metrics().losses(losses);
                None
            }
            _ => None,
        }
    }

    /// The source's trouble, once for each outage and reason.
    fn report(&mut self, failure: &Failure) -> Option<(ErrorKind, String)> {
        if self.trouble.as_ref() == Some(failure) {
            return None;
        }
        self.trouble = Some(failure.clone());
        let kind = match failure.kind {
            Kind::Decode | Kind::Truncated => ErrorKind::Decode,
            _ => ErrorKind::Source,
        };
        Some((kind, failure.to_string()))
    }

    /// The stream's state is this now.
    pub fn state(&mut self, state: StreamState) {
        let record = StreamRecord::new(&self.stream, &state, UtcTime::now());
        if let Some(record) = record.filter(|record| self.told != Some(record.state)) {
            self.told = Some(record.state);
            self.states.push(record);
        }
        self.board().state(self.stream.as_str(), state);
    }

    /// Counts records that are about to be published.
    pub fn count(&self, records: &[Record]) {
        let metrics = self.metrics();
        for record in records {
            match record {
                Record::Event(event) => metrics.event(event.phase),
                Record::Error(error) => {
                    metrics.error(error.kind);
                    if error.kind == ErrorKind::Parse {
                        metrics.unparsed();
                    }
                }
                Record::Coverage { .. } => {}
            }
        }
    }

    /// The states that are to be told.
    pub fn take(&mut self) -> Vec<StreamRecord> {
        std::mem::take(&mut self.states)
    }

    /// The stream's figures.
    pub fn metrics(&self) -> StreamMetrics<'_> {
        self.control.metrics.stream(self.stream.as_str())
    }

    fn board(&self) -> &StreamBoard {
        &self.control.status.streams
    }
}
