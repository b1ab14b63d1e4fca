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
    /// Pads that are linked, and those on which something came: audio and video.
    linked: [bool; 2],
    came: [bool; 2],
    stream: StreamId,
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
            assembler: Assembler::new(stream.clone(), spec)?,
            joiner: Joiner::new(rate),
            anchor: ClockAnchor { stream: StreamTime::ZERO, utc: UtcTime::now() },
            video: reach(has_video),
            audio: reach(has_audio),
            begun: false,
            linked: [has_audio, has_video],
            came: [false; 2],
            stream,
        })
    }

    /// Forgets everything: the pads' time begins anew.
    ///
    /// # Errors
    /// None that the first beginning has not met.
    pub fn restart(&mut self) -> Result<(), SpecError> {
        let [has_audio, has_video] = self.linked;
        *self = Self::new(*self.assembler.spec(), self.stream.clone(), has_video, has_audio)?;
        Ok(())
    }

    /// Has anything come on this pad since the beginning?
    pub fn came(&self, medium: Medium) -> bool {
        self.came[medium as usize]
    }

    /// Nothing comes on a pad before `until`: time goes on there without a sample.
    pub fn gap(&mut self, medium: Medium, until: StreamTime) -> Vec<Closed> {
        let mut closed = self.begin();
        self.came[medium as usize] = true;
        let reach = match medium {
            Medium::Video => {
                let picked = self.picker.as_mut().and_then(Picker::finish);
                closed.extend(self.picked(picked));
                &mut self.video
            }
            Medium::Audio => &mut self.audio,
        };
        if let Reach::Until(before) = *reach {
            *reach = Reach::Until(before.max(until));
        }
        closed.extend(self.progress());
        closed
    }

    /// The next picture. `duration` is what its buffer says.
    pub fn frame(&mut self, frame: RgbFrame, at: StreamTime, duration: Option<Duration>) -> Vec<Closed> {
        let mut closed = self.begin();
        self.came[Medium::Video as usize] = true;
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
        self.came[Medium::Audio as usize] = true;
        self.audio = Reach::Until(at.plus(duration));
        if let Some(stream) = self.joiner.join(at, &mut samples) {
            let capture = self.anchor.utc_at(stream);
            closed.extend(self.assembler.push(SourceEvent::Audio(TimedAudio { stream, capture, samples })));
        }
        closed.extend(self.progress());
        closed
    }

    /// A pad is at its end. `true` when both are: nothing follows.
    pub fn end(&mut self, medium: Medium) -> (Vec<Closed>, bool) {
        let mut closed = self.begin();
        match medium {
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

#[cfg(test)]
mod tests {
    use avicuna_pipeline::stream::Presence;
    use avicuna_pipeline::window::Window;

    use super::*;

    const RATE: u32 = 1000;

    fn intake() -> Intake {
        let spec = WindowSpec {
            length: Duration::from_secs(4),
            hop: Duration::from_secs(2),
            visual_slots: 4,
            audio_slots: 4,
            sample_rate: RATE,
            clip: Duration::from_secs(1),
            patience: Duration::from_secs(1),
        };
        Intake::new(spec, "s".into(), true, true).expect("these windows can be")
    }

    fn frame(intake: &mut Intake, second: u64) -> Vec<Closed> {
        let frame = RgbFrame { width: 1, height: 1, aspect: 1.0, data: vec![0; 3] };
        intake.frame(frame, at(second), Some(Duration::from_secs(1)))
    }

    fn sound(intake: &mut Intake, second: u64) -> Vec<Closed> {
        intake.samples(vec![0.5; RATE as usize], at(second), Duration::from_secs(1))
    }

    fn at(second: u64) -> StreamTime {
        StreamTime::ZERO.plus(Duration::from_secs(second))
    }

    /// Index, and how much of sound and picture is there.
    fn shown(closed: &[Closed]) -> Vec<(u64, Presence, Presence)> {
        let windows = closed.iter().filter_map(|closed| match closed {
            Closed::Window(window) => Some(window),
            Closed::Blind { .. } => None,
        });
        windows.map(|Window { id, audio, visual, .. }| (id.index, audio.presence, visual.presence)).collect()
    }

    #[test]
    fn a_gap_of_one_pad_lets_windows_close_with_what_the_other_has() {
        use Presence::{Missing, Partial, Present};
        let mut intake = intake();
        let mut closed = Vec::new();
        for second in 0..12 {
            closed.extend(frame(&mut intake, second));
            if second < 3 {
                closed.extend(sound(&mut intake, second));
            } else {
                closed.extend(intake.gap(Medium::Audio, at(second + 1)));
            }
        }
        // The window that ends at 10 s waits for a second more than both pads have.
        assert_eq!(
            shown(&closed),
            [(0, Partial, Present), (1, Partial, Present), (2, Missing, Present), (3, Missing, Present)]
        );
    }

    #[test]
    fn a_gap_ends_the_picture_before_it() {
        use Presence::{Partial, Present};
        let mut intake = intake();
        let mut closed = frame(&mut intake, 0);
        for second in 0..12 {
            closed.extend(sound(&mut intake, second));
            closed.extend(intake.gap(Medium::Video, at(second + 1)));
        }
        assert_eq!(shown(&closed)[0], (0, Present, Partial));
        let Closed::Window(first) = &closed[0] else { panic!("a window") };
        assert_eq!(first.visual.filled(), 1, "it lasted a second");
    }

    #[test]
    fn without_gaps_nothing_is_known_of_a_silent_pad_and_windows_wait() {
        let mut intake = intake();
        let mut closed = sound(&mut intake, 0);
        for second in 0..5 {
            closed.extend(frame(&mut intake, second));
        }
        assert_eq!(shown(&closed), []);
    }

    #[test]
    fn it_starts_afresh() {
        let mut intake = intake();
        for second in 100..110 {
            frame(&mut intake, second);
        }
        assert!(intake.came(Medium::Video) && !intake.came(Medium::Audio));
        intake.restart().expect("it began before");
        assert!(!intake.came(Medium::Video));
        let mut closed = Vec::new();
        for second in 0..12 {
            closed.extend(frame(&mut intake, second));
            closed.extend(sound(&mut intake, second));
        }
        assert_eq!(closed.first().map(|closed| closed.id().index), Some(0));
        assert!(closed.iter().all(|closed| matches!(closed, Closed::Window(_))), "nothing of before is left");
    }
}
