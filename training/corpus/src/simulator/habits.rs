//! How long things last, and how their sound comes and goes.

use super::draw::Draw;

/// How a thing behaves in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// One short sound, or several with pauses.
    Knock,
    /// Sounds of some seconds with pauses: voices, calls, bells.
    Call,
    /// Sounds without a pause: engines, music, rain.
    Steady,
    /// Is there, and makes no sound.
    Silent,
}

/// Pauses end before two seconds: after a longer one it would be told as another event.
const LONGEST_PAUSE: f64 = 1.9;

/// Parts of phrases whose sound is short, whatever their group.
const KNOCKS: [&str; 29] = [
    "sneez",
    "cough",
    "burp",
    "hiccup",
    "fart",
    "snap",
    "sniff",
    "knock",
    "splash",
    "gunshot",
    "explosion",
    "cannon",
    "bang",
    "pop",
    "glass",
    "crash",
    "thud",
    "slap",
    "whip",
    "whoosh",
    "arrow",
    "cracking",
    "bouncing",
    "clicking",
    "coin",
    "cash register",
    "camera",
    "door",
    "fireworks",
];
/// Whose sound comes in calls.
const CALLS: [&str; 26] = [
    "bell",
    "horn",
    "phone",
    "beep",
    "hammer",
    "axe",
    "ratchet",
    "typewriter",
    "keyboard",
    "chop",
    "squeak",
    "creak",
    "rattl",
    "jingl",
    "clatter",
    "tearing",
    "crumpling",
    "drip",
    "thunder",
    "dishes",
    "cutlery",
    "cupboard",
    "zipper",
    "keys",
    "scissors",
    "shuffling",
];
/// Whose sound has no pauses.
const STEADY: [&str; 11] = [
    "crowd", "applause", "a bee", "a fly", "mosquito", "cricket", "cicada", "insect", "sings", "choir",
    "snores",
];
/// Groups whose sounds come in calls.
const CALLING: [&str; 5] = ["people", "animals", "impacts", "sports", "things"];

impl Habit {
    /// From the words of the phrase, and from its group's where they say nothing.
    pub(super) fn of(text: &str, group: &str, heard: bool) -> Self {
        let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        match group {
            _ if !heard => Self::Silent,
            _ if has(&KNOCKS) => Self::Knock,
            _ if has(&CALLS) => Self::Call,
            _ if has(&STEADY) => Self::Steady,
            _ if CALLING.contains(&group) => Self::Call,
            _ => Self::Steady,
        }
    }

    /// Seconds of one event in a video of `whole` seconds.
    pub(super) fn length(self, whole: f64, draw: &mut Draw) -> f64 {
        let longest = whole.max(3.0);
        match self {
            Self::Knock if draw.chance(0.65) => draw.uniform(0.6, 2.5),
            Self::Knock => draw.log_uniform(2.5, 20.0),
            Self::Call => draw.log_uniform(1.5, longest / 2.0),
            _ if draw.chance(0.12) => whole,
            _ => draw.log_uniform(3.0, longest),
        }
    }

    /// When there is a sound between `start` and `end`, in seconds: the first begins at `start`, the last ends at `end`.
    pub(super) fn sounding(self, start: f64, end: f64, draw: &mut Draw) -> Vec<(f64, f64)> {
        let (sound, pause) = match self {
            Self::Steady | Self::Silent => return vec![(start, end)],
            Self::Knock => ((0.15, 0.8), (0.2, LONGEST_PAUSE)),
            // Some talk without a breath.
            Self::Call if draw.chance(0.3) => return vec![(start, end)],
            Self::Call => ((0.4, 6.0), (0.2, LONGEST_PAUSE)),
        };
        let mut spans: Vec<(f64, f64)> = Vec::new();
        let mut at = start;
        while at < end {
            let stop = at + draw.log_uniform(sound.0, sound.1);
            spans.push((at, stop.min(end)));
            at = stop + draw.log_uniform(pause.0, pause.1);
        }
        // The event ends with a sound, though a pause was drawn for its end.
        if let Some(last) = spans.last_mut().filter(|last| last.1 < end) {
            last.1 = if end - last.1 <= LONGEST_PAUSE && self == Self::Call { end } else { last.1 };
        }
        if spans.last().is_some_and(|last| last.1 < end) {
            spans.push(((end - sound.0).max(start), end));
        }
        spans
    }

    /// Seconds of sound in a clip that are enough to know it by.
    pub(super) fn enough(self) -> f32 {
        if self == Self::Knock { 0.35 } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_say_how_long_a_thing_sounds() {
        let cases = [
            ("a person sneezes", "people", Habit::Knock),
            ("a person speaks", "people", Habit::Call),
            ("a crowd cheers", "people", Habit::Steady),
            ("a church bell", "instruments", Habit::Call),
            ("a violin", "instruments", Habit::Steady),
            ("rain", "nature", Habit::Steady),
            ("a vacuum cleaner", "household", Habit::Steady),
            ("reversing beeps", "alarms", Habit::Call),
        ];
        for (text, group, habit) in cases {
            assert_eq!(Habit::of(text, group, true), habit, "{text}");
        }
        assert_eq!(Habit::of("a tie", "things", false), Habit::Silent);
    }

    proptest! {
        #[test]
        fn sounds_fill_their_event_with_short_pauses(
            seed in any::<u64>(),
            habit in prop::sample::select(vec![Habit::Knock, Habit::Call, Habit::Steady]),
            start in 0.0..100.0f64,
            length in 0.5..120.0f64,
        ) {
            let mut draw = Draw::new(seed, "sounding");
            let spans = habit.sounding(start, start + length, &mut draw);
            prop_assert_eq!(spans[0].0, start);
            prop_assert!((spans[spans.len() - 1].1 - start - length).abs() < 1e-9);
            for span in &spans {
                prop_assert!(span.1 > span.0);
            }
            for pair in spans.windows(2) {
                prop_assert!(pair[1].0 - pair[0].1 < 2.0);
            }
        }
    }
}
