//! The order of audio and visual tokens in front of the LLM: the Audio-Visual Token Interleaver (paper section 3.2;
//! FACTS 3 and 4).
//!
//! An [`Interleaver`] is made once for a model and knows the order of a full window; a window that lacks frames or
//! clips keeps that order and leaves out what it lacks. Nothing is remembered between windows.

use crate::slots::Slot;

/// How a window's tokens are ordered. `v0`, `v1`, ... are visual tokens, `a0`, `a1`, ... audio tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The released rule: an audio token at 0, f+1, 2(f+1), ... with `f = round_half_even(V / (A + 1))`.
    ///
    /// ```text
    /// V = 6, A = 2, f = 2:   a0 v0 v1 a1 v2 v3 v4 v5
    /// V = 2, A = 4, f = 0:   a0 a1 a2 a3 v0 v1          (a block of each, as released)
    /// ```
    ///
    /// For some splits (of 100 tokens: 21, 26, 27, 35-39 and 51-66 audio ones) these positions end behind the
    /// sequence. The reference swallows its own error there and feeds zeros; [`Interleaver::new`] refuses.
    Reference,
    /// Each modality spread evenly over the window and the two merged by time; visual first where both fall together.
    ///
    /// ```text
    /// V = 6, A = 2:   v0 v1 a0 v2 v3 v4 a1 v5
    /// V = 2, A = 4:   a0 v0 a1 a2 v1 a3
    /// V = 3, A = 0:   v0 v1 v2
    /// ```
    ///
    /// Between two audio tokens stand `V/A` visual ones, rounded down or up, at every rate from 0 to 100 %.
    Even,
    /// In time order with the time written between the tokens.
    ///
    /// The window has `T = max(V, A)` time slots. In a slot the visual tokens come before the audio ones, and before
    /// every `stamp_every_slots`-th slot stands where in the window it begins, in two-digit percent.
    ///
    /// ```text
    /// V = 4, A = 4, a stamp every 2 slots:   "\n00" v0 a0 v1 a1 "\n50" v2 a2 v3 a3
    /// the same without a0, v2 and a2:        "\n00" v0 v1 a1 "\n50" v3 a3
    /// ```
    Timestamped {
        /// Time slots from one stamp to the next, at least 1.
        stamp_every_slots: usize,
    },
}

/// One part of the sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The visual token of this slot of the window.
    Visual(usize),
    /// The audio token of this slot of the window.
    Audio(usize),
    /// Text for the LLM's own tokenizer.
    Text(String),
}

/// Why a window's tokens cannot be ordered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterleaveError {
    /// The released rule breaks at this split.
    #[error(
        "the reference interleaver has only {positions} places for {audio} audio tokens beside {visual} visual \
         ones, and would feed zeros; use the strategy `even`, or another split (75/25 works)"
    )]
    Blind {
        /// Visual tokens asked for.
        visual: usize,
        /// Audio tokens asked for.
        audio: usize,
        /// Audio tokens that the rule has places for.
        positions: usize,
    },
    /// `stamp_every_slots = 0`.
    #[error("stamp_every_slots is 0; the least is 1, a time stamp before every slot")]
    NoStampDistance,
    /// Two stamps would read the same.
    #[error(
        "{stamps} time stamps do not fit in two digits; raise stamp_every_slots to {least} or more for {slots} slots"
    )]
    TooManyStamps {
        /// Stamps that were asked for.
        stamps: usize,
        /// Time slots in the window.
        slots: usize,
        /// The least distance that works.
        least: usize,
    },
    /// The window is not of the model's shape.
    #[error("the window has {found} {modality} slots, the model takes {expected}")]
    Slots {
        /// `visual` or `audio`.
        modality: &'static str,
        /// Slots of the window.
        found: usize,
        /// Slots of the model.
        expected: usize,
    },
}

/// The order of a model's audio-visual tokens.
#[derive(Debug, Clone)]
pub struct Interleaver {
    visual_tokens: usize,
    audio_tokens: usize,
    full: Vec<Item>,
}

impl Interleaver {
    /// For windows of `visual_tokens` and `audio_tokens` slots.
    ///
    /// # Errors
    /// When the strategy cannot order so many tokens: see [`InterleaveError`].
    pub fn new(
        strategy: Strategy,
        visual_tokens: usize,
        audio_tokens: usize,
    ) -> Result<Self, InterleaveError> {
        let full = match strategy {
            Strategy::Reference => reference(visual_tokens, audio_tokens)?,
            Strategy::Even => even(visual_tokens, audio_tokens),
            Strategy::Timestamped { stamp_every_slots } => {
                timestamped(visual_tokens, audio_tokens, stamp_every_slots)?
            }
        };
        Ok(Self { visual_tokens, audio_tokens, full })
    }

    /// The order of a window in which nothing is missing.
    pub fn full(&self) -> &[Item] {
        &self.full
    }

    /// The order of a window with these slots filled. What is missing is left out, it never becomes a row of zeros;
    /// time stamps stay, so that the others keep their place in time.
    ///
    /// # Errors
    /// When the number of slots is not the model's.
    pub fn sequence(
        &self,
        visual_present: &[bool],
        audio_present: &[bool],
    ) -> Result<Vec<Item>, InterleaveError> {
        let shapes = [
            ("visual", visual_present.len(), self.visual_tokens),
            ("audio", audio_present.len(), self.audio_tokens),
        ];
        for (modality, found, expected) in shapes {
            if found != expected {
                return Err(InterleaveError::Slots { modality, found, expected });
            }
        }
        let there = |item: &&Item| match item {
            Item::Visual(slot) => visual_present[*slot],
            Item::Audio(slot) => audio_present[*slot],
            Item::Text(_) => true,
        };
        Ok(self.full.iter().filter(there).cloned().collect())
    }
}

fn reference(visual: usize, audio: usize) -> Result<Vec<Item>, InterleaveError> {
    let total = visual + audio;
    let step = (visual as f64 / (audio + 1) as f64).round_ties_even() as usize + 1;
    let positions = total.div_ceil(step).min(audio);
    if positions < audio {
        return Err(InterleaveError::Blind { visual, audio, positions });
    }
    let (mut v, mut a) = (0, 0);
    let place = |position: usize| {
        if position.is_multiple_of(step) && a < audio {
            a += 1;
            return Item::Audio(a - 1);
        }
        v += 1;
        Item::Visual(v - 1)
    };
    Ok((0..total).map(place).collect())
}

fn even(visual: usize, audio: usize) -> Vec<Item> {
    let (mut v, mut a) = (0, 0);
    let next = |_| {
        // The middles of the next two tokens' shares of the window, (2v + 1) / 2V and (2a + 1) / 2A, multiplied out.
        let visual_first = a == audio || (2 * v + 1) * audio <= (2 * a + 1) * visual;
        if v < visual && visual_first {
            v += 1;
            return Item::Visual(v - 1);
        }
        a += 1;
        Item::Audio(a - 1)
    };
    (0..visual + audio).map(next).collect()
}

fn timestamped(visual: usize, audio: usize, every: usize) -> Result<Vec<Item>, InterleaveError> {
    if every == 0 {
        return Err(InterleaveError::NoStampDistance);
    }
    let slots = visual.max(audio);
    let (stamps, most) = (slots.div_ceil(every), usize::from(Slot::COUNT));
    if stamps > most {
        return Err(InterleaveError::TooManyStamps { stamps, slots, least: slots.div_ceil(most) });
    }
    let mut items = Vec::with_capacity(visual + audio + stamps);
    let (mut v, mut a) = (0, 0);
    // A token belongs to the slot that holds the middle of its share of the window.
    let within = |token: usize, tokens: usize, slot: usize| {
        token < tokens && (2 * token + 1) * slots / (2 * tokens) == slot
    };
    for slot in 0..slots {
        if slot.is_multiple_of(every) {
            items.push(Item::Text(format!("\n{}", Slot::of(slot as f64, slots as f64))));
        }
        while within(v, visual, slot) {
            items.push(Item::Visual(v));
            v += 1;
        }
        while within(a, audio, slot) {
            items.push(Item::Audio(a));
            a += 1;
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy as Generator;

    use super::*;

    /// `v0 a0 ...`, stamps in their own words.
    fn drawn(items: &[Item]) -> String {
        let draw = |item: &Item| match item {
            Item::Visual(i) => format!("v{i}"),
            Item::Audio(i) => format!("a{i}"),
            Item::Text(text) => format!("{text:?}"),
        };
        items.iter().map(draw).collect::<Vec<_>>().join(" ")
    }

    fn full(strategy: Strategy, visual: usize, audio: usize) -> String {
        drawn(Interleaver::new(strategy, visual, audio).expect("it works at this split").full())
    }

    #[test]
    fn the_drawings_are_true() {
        assert_eq!(full(Strategy::Reference, 6, 2), "a0 v0 v1 a1 v2 v3 v4 v5");
        assert_eq!(full(Strategy::Reference, 2, 4), "a0 a1 a2 a3 v0 v1");
        assert_eq!(full(Strategy::Even, 6, 2), "v0 v1 a0 v2 v3 v4 a1 v5");
        assert_eq!(full(Strategy::Even, 2, 4), "a0 v0 a1 a2 v1 a3");
        assert_eq!(full(Strategy::Even, 3, 0), "v0 v1 v2");
        let stamped = Strategy::Timestamped { stamp_every_slots: 2 };
        assert_eq!(full(stamped, 4, 4), r#""\n00" v0 a0 v1 a1 "\n50" v2 a2 v3 a3"#);
        let window = Interleaver::new(stamped, 4, 4).expect("two stamps");
        let sequence = window.sequence(&[true, true, false, true], &[false, true, false, true]);
        assert_eq!(drawn(&sequence.expect("four slots each")), r#""\n00" v0 v1 a1 "\n50" v3 a3"#);
    }

    #[test]
    fn the_small_models_window_has_a_stamp_for_every_second() {
        let stamped = Interleaver::new(Strategy::Timestamped { stamp_every_slots: 2 }, 40, 40);
        let items = stamped.expect("twenty stamps").full().to_vec();
        let texts: Vec<String> = items
            .iter()
            .filter_map(|item| if let Item::Text(text) = item { Some(text.clone()) } else { None })
            .collect();
        let expected: Vec<String> = (0..20).map(|second| format!("\n{:02}", 5 * second)).collect();
        assert_eq!(texts, expected);
        assert_eq!(drawn(&items[..5]), r#""\n00" v0 a0 v1 a1"#);
        assert_eq!(drawn(&items[95..]), r#""\n95" v38 a38 v39 a39"#);
    }

    #[test]
    fn a_modality_with_fewer_tokens_stands_in_the_middle_of_its_share() {
        let stamped = Strategy::Timestamped { stamp_every_slots: 2 };
        assert_eq!(full(stamped, 4, 2), r#""\n00" v0 v1 a0 "\n50" v2 v3 a1"#);
        assert_eq!(full(stamped, 0, 2), r#""\n00" a0 a1"#);
    }

    #[test]
    fn what_cannot_be_ordered_says_what_to_do() {
        let new = |strategy, visual, audio| Interleaver::new(strategy, visual, audio).map(|_| ());
        let blind = InterleaveError::Blind { visual: 74, audio: 26, positions: 25 };
        assert!(blind.to_string().contains("`even`"));
        assert_eq!(new(Strategy::Reference, 74, 26), Err(blind));
        let every = |stamp_every_slots| Strategy::Timestamped { stamp_every_slots };
        assert_eq!(new(every(0), 4, 4), Err(InterleaveError::NoStampDistance));
        let many = InterleaveError::TooManyStamps { stamps: 201, slots: 201, least: 3 };
        assert_eq!(new(every(1), 201, 4), Err(many));
        assert_eq!(new(every(3), 201, 4), Ok(()));
        let window = Interleaver::new(Strategy::Even, 3, 1).expect("even always works");
        let error = InterleaveError::Slots { modality: "audio", found: 0, expected: 1 };
        assert_eq!(window.sequence(&[true; 3], &[]), Err(error));
    }

    fn strategies() -> impl Generator<Value = Strategy> {
        prop_oneof![
            Just(Strategy::Reference),
            Just(Strategy::Even),
            (3usize..9).prop_map(|stamp_every_slots| Strategy::Timestamped { stamp_every_slots }),
        ]
    }

    fn slots() -> impl Generator<Value = Vec<bool>> {
        proptest::collection::vec(any::<bool>(), 0..130)
    }

    proptest! {
        #[test]
        fn what_is_present_appears_once_and_in_order(
            strategy in strategies(), visual in slots(), audio in slots(),
        ) {
            let Ok(interleaver) = Interleaver::new(strategy, visual.len(), audio.len()) else {
                prop_assert_eq!(strategy, Strategy::Reference, "only the released rule fails");
                return Ok(());
            };
            let (mut v, mut a) = (Vec::new(), Vec::new());
            for item in interleaver.sequence(&visual, &audio).expect("its own slots") {
                match item {
                    Item::Visual(slot) => v.push(slot),
                    Item::Audio(slot) => a.push(slot),
                    Item::Text(_) => {}
                }
            }
            let present = |slots: &[bool]| (0..slots.len()).filter(|i| slots[*i]).collect::<Vec<_>>();
            prop_assert_eq!(v, present(&visual));
            prop_assert_eq!(a, present(&audio));
        }

        #[test]
        fn even_puts_every_audio_token_within_half_a_place_of_its_share(
            visual in 0usize..300, audio in 1usize..300,
        ) {
            let interleaver = Interleaver::new(Strategy::Even, visual, audio).expect("even always works");
            let total = (visual + audio) as f64;
            for (position, item) in interleaver.full().iter().enumerate() {
                if let Item::Audio(k) = item {
                    let share = (*k as f64 + 0.5) / audio as f64 * total;
                    let place = position as f64 + 0.5;
                    prop_assert!((place - share).abs() <= 0.5 + 1e-9, "a{} at {}, not {}", k, place, share);
                }
            }
        }

        #[test]
        fn even_makes_no_blocks(visual in 1usize..300, audio in 1usize..300) {
            let interleaver = Interleaver::new(Strategy::Even, visual, audio).expect("even always works");
            let kind = |item: &Item| matches!(item, Item::Audio(_));
            let longest = |audio_run: bool| {
                let runs = interleaver.full().chunk_by(|x, y| kind(x) == kind(y));
                runs.filter(|run| kind(&run[0]) == audio_run).map(<[Item]>::len).max().unwrap_or(0)
            };
            prop_assert!(longest(false) <= visual.div_ceil(audio), "visual run {}", longest(false));
            prop_assert!(longest(true) <= audio.div_ceil(visual), "audio run {}", longest(true));
        }

        #[test]
        fn stamps_rise_and_stand_before_their_slot(
            visual in 1usize..120, audio in 0usize..120, stamp_every_slots in 2usize..20,
        ) {
            let strategy = Strategy::Timestamped { stamp_every_slots };
            let slots = visual.max(audio);
            let interleaver = Interleaver::new(strategy, visual, audio).expect("at most 60 stamps");
            let (mut last, mut stamps) = (-1i32, 0);
            for item in interleaver.full() {
                let begins = f64::from(last.max(0)) / 100.0;
                match item {
                    Item::Text(text) => {
                        let percent: i32 = text.trim_start().parse().expect("two digits");
                        prop_assert!(text.len() == 3 && percent > last && percent < 100);
                        (last, stamps) = (percent, stamps + 1);
                    }
                    // Half a percent is what rounding a stamp may cost.
                    Item::Visual(i) => prop_assert!((*i as f64 + 0.5) / visual as f64 >= begins - 0.005),
                    Item::Audio(i) => prop_assert!((*i as f64 + 0.5) / audio as f64 >= begins - 0.005),
                }
            }
            prop_assert_eq!(stamps, slots.div_ceil(stamp_every_slots));
        }
    }
}
