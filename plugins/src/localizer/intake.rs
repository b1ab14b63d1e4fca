//! From buffers of two pads to windows: grid sampling, running time, ends.

use std::time::Duration;

use avicuna_models::sample::RgbFrame;
use avicuna_pipeline::source::pick::{Joiner, Picked, Picker};
use avicuna_pipeline::source::{End, SourceEvent, TimedAudio, TimedFrame};
use avicuna_pipeline::stream::{Medium, StreamId};
use avicuna_pipeline::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};
use avicuna_pipeline::window::{Assembler, Closed, SpecError, WindowSpec};

/// How far one pad has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Not linked, or at its end.
    Over,
    /// Everything before this instant is here.
    Until(StreamTime),
}

/// Puts the samples of both pads into windows.
pub struct Intake {
    assembler: Assembler,
    picker: Option<Picker<RgbFrame>>,
    joiner: Joiner,
    /// Stream time zero in wall-clock time; running time says nothing about capture.
    anchor: ClockAnchor,
    video: Reach,
    audio: Reach,
    begun: bool,
}

impl Intake {
    /// For the pads that are linked.
    ///
    /// # Errors
    /// When windows of this shape cannot be.
    pub fn new(
        spec: WindowSpec,
        stream: StreamId,
        has_video: bool,
        has_audio: bool,
    ) -> Result<Self, SpecError> {
        let reach = |there: bool| if there { Reach::Until(StreamTime::ZERO) } else { Reach::Over };
        let rate = spec.sample_rate;
        Ok(Self {
            picker: spec.visual_grid().map(Picker::new),
            assembler: Assembler::new(stream, spec)?,
            joiner: Joiner::new(rate),
            anchor: ClockAnchor { stream: StreamTime::ZERO, utc: UtcTime::now() },
            video: reach(has_video),
            audio: reach(has_audio),
            begun: false,
        })
    }

    /// The next picture. `duration` is what its buffer says.
    pub fn frame(&mut self, frame: RgbFrame, at: StreamTime, duration: Option<Duration>) -> Vec<Closed> {
        let mut closed = self.begin();
        self.video = Reach::Until(at);
        let picked =
            self.picker.as_mut().and_then(|picker| picker.push(frame, at, duration, false, StreamTime::ZERO));
        closed.extend(self.picked(picked));
        closed.extend(self.progress());
        closed
    }

    /// The next mono samples.
    pub fn samples(&mut self, mut samples: Vec<f32>, at: StreamTime, duration: Duration) -> Vec<Closed> {
        let mut closed = self.begin();
        self.audio = Reach::Until(at.plus(duration));
        if let Some(stream) = self.joiner.join(at, &mut samples) {
            let capture = self.anchor.utc_at(stream);
            closed.extend(self.assembler.push(SourceEvent::Audio(TimedAudio { stream, capture, samples })));
        }
        closed.extend(self.progress());
        closed
    }

    /// A pad is at its end. `true` when both are: nothing follows.
    pub fn end(&mut self, side: Medium) -> (Vec<Closed>, bool) {
        let mut closed = self.begin();
        match side {
            Medium::Video => {
                self.video = Reach::Over;
                let picked = self.picker.as_mut().and_then(Picker::finish);
                closed.extend(self.picked(picked));
            }
            Medium::Audio => self.audio = Reach::Over,
        }
        let over = (self.video, self.audio) == (Reach::Over, Reach::Over);
        if over {
            closed.extend(self.assembler.push(SourceEvent::Ended(End::OfFile)));
        } else {
            closed.extend(self.progress());
        }
        (closed, over)
    }

    /// Says once what is linked and how time runs.
    fn begin(&mut self) -> Vec<Closed> {
        if std::mem::replace(&mut self.begun, true) {
            return Vec::new();
        }
        let (has_audio, has_video) = (self.audio != Reach::Over, self.video != Reach::Over);
        let clock = SourceEvent::Clock { clock: ClockQuality::Pts, av_offset_ms: None, anchor: self.anchor };
        let connected =
            SourceEvent::Connected { attempt: 0, has_audio, has_video, live: false, length: None };
        [connected, clock].into_iter().flat_map(|event| self.assembler.push(event)).collect()
    }

    fn picked(&mut self, picked: Option<Picked<RgbFrame>>) -> Vec<Closed> {
        let Some(Picked { frame, stream, first, last }) = picked else { return Vec::new() };
        let capture = self.anchor.utc_at(stream);
        (first.0..=last.0)
            .flat_map(|index| {
                let at = avicuna_pipeline::timeline::GridIndex(index);
                self.assembler.push(SourceEvent::Frame(TimedFrame {
                    at,
                    stream,
                    capture,
                    frame: frame.clone(),
                }))
            })
            .collect()
    }

    /// Nothing before the slower pad's time, and before the picture that is still held, will come.
    fn progress(&mut self) -> Vec<Closed> {
        let video = match (self.video, self.picker.as_ref().and_then(Picker::due)) {
            (Reach::Until(at), Some(due)) => Reach::Until(at.min(due)),
            (reach, _) => reach,
        };
        let until = match (video, self.audio) {
            (Reach::Until(video), Reach::Until(audio)) => video.min(audio),
            (Reach::Until(one), Reach::Over) | (Reach::Over, Reach::Until(one)) => one,
            (Reach::Over, Reach::Over) => return Vec::new(),
        };
        self.assembler.push(SourceEvent::Progress(until))
    }
}
