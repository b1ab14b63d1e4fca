//! Senses that a source delivers and nobody wants any more: they are left out of windows, and no connection is made anew for it.

use crate::stream::Presence;
use crate::window::{Ahead, Closed, Slots, Window};

/// What is left out of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Muted {
    pub audio: bool,
    pub video: bool,
}

impl Muted {
    /// What is there of a window, without what is left out.
    pub fn seen(self, mut ahead: Ahead) -> Ahead {
        if self.audio {
            ahead.audio.clear();
        }
        if self.video {
            ahead.visual.clear();
        }
        ahead
    }

    /// The window without what is left out. One that holds nothing then is not for the model.
    pub fn applied(self, closed: Closed) -> Closed {
        let Closed::Window(mut window) = closed else { return closed };
        if self.audio {
            empty(&mut window.audio, "audio");
        }
        if self.video {
            empty(&mut window.visual, "video");
        }
        if self == Self::default() || window.audio.filled() + window.visual.filled() > 0 {
            return Closed::Window(window);
        }
        // What is not muted says why it is missing.
        let reason = if self.audio { &window.visual.reason } else { &window.audio.reason };
        let reason = reason.clone().unwrap_or_else(|| "nothing of it is wanted".to_owned());
        let Window { id, start, end, anchor, clock, closed, .. } = window;
        Closed::Blind { id, windows: 1, start, end, anchor, clock, reason, closed }
    }
}

fn empty<I>(slots: &mut Slots<I>, name: &str) {
    slots.slots.fill_with(|| None);
    slots.presence = Presence::Missing;
    slots.reason = Some(format!("{name} is turned off"));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};

    use super::*;
    use crate::stream::WindowId;
    use crate::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};

    fn filled<I>(sample: I) -> Slots<I> {
        Slots {
            slots: vec![Some(Arc::new(EncodeOnce::new(sample)))],
            presence: Presence::Present,
            reason: None,
        }
    }

    fn window() -> Window {
        let zero = StreamTime::ZERO;
        Window {
            id: WindowId { stream: "a".into(), index: 7 },
            start: zero,
            end: StreamTime(1),
            until: StreamTime(1),
            anchor: ClockAnchor { stream: zero, utc: UtcTime(0) },
            clock: ClockQuality::Pts,
            av_offset_ms: None,
            visual: filled(RgbFrame { width: 1, height: 1, aspect: 1.0, data: vec![0; 3] }),
            audio: filled(AudioClip { samples: vec![0.0] }),
            last_capture: UtcTime(0),
            closed: Instant::now(),
        }
    }

    fn applied(muted: Muted, window: Window) -> Result<Window, String> {
        match muted.applied(Closed::Window(window)) {
            Closed::Window(window) => Ok(window),
            Closed::Blind { id, windows, reason, .. } => {
                assert_eq!((id.index, windows), (7, 1));
                Err(reason)
            }
        }
    }

    #[test]
    fn what_is_turned_off_is_left_out_of_windows() {
        let all = applied(Muted::default(), window()).expect("it holds both");
        assert_eq!((all.audio.filled(), all.visual.filled()), (1, 1));
        let deaf = applied(Muted { audio: true, video: false }, window()).expect("it holds a picture");
        assert_eq!((deaf.audio.filled(), deaf.visual.filled()), (0, 1));
        assert_eq!(deaf.audio.presence, Presence::Missing);
        assert_eq!(deaf.audio.reason.as_deref(), Some("audio is turned off"));
    }

    #[test]
    fn a_window_that_holds_nothing_then_is_not_for_the_model() {
        let silent =
            Slots { slots: vec![None], presence: Presence::Missing, reason: Some("no audio".to_owned()) };
        let window = Window { audio: silent, ..window() };
        assert_eq!(
            applied(Muted { audio: false, video: true }, window).map(|_| ()),
            Err("no audio".to_owned())
        );
    }
}
