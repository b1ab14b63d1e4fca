//! Answers whose times can be read: `From 20 to 55`, two digits each, the end not before the start.
//!
//! A rule over the bytes of an answer, so that it holds whatever a vocabulary's tokens are. It speaks up only after `From ` at
//! the start of a sentence and `, and from ` inside one, which is how answers begin an interval; any other text passes,
//! `a voice from far away` as well.

/// The words before an interval inside a sentence.
const WITHIN: &[u8] = b", and from";
/// The word before an interval at the start of a sentence.
const FIRST: &[u8] = b"From";
/// What follows: `0` stands for a digit.
const INTERVAL: &[u8] = b" 00 to 00";
/// Bytes of the text that are remembered: the longest of the above.
const MEMORY: usize = 10;

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// The last bytes of the text, the latest one last; zeros before its start.
    tail: [u8; MEMORY],
    /// Bytes of [`INTERVAL`] that are written, while one is being written.
    written: Option<usize>,
    /// The digits of the interval.
    digits: [u8; 4],
    /// Whether the last byte ended an interval: no digit may follow.
    complete: bool,
}

impl Times {
    /// Before an answer.
    pub(crate) fn new() -> Self {
        Self { tail: [0; MEMORY], written: None, digits: [0; 4], complete: false }
    }

    /// After `bytes` more, or `None` where they are not allowed.
    pub(crate) fn after(self, bytes: &[u8]) -> Option<Self> {
        bytes.iter().try_fold(self, |state, &byte| state.step(byte))
    }

    /// Whether the answer may end here: not inside an interval.
    pub(crate) fn may_end(&self) -> bool {
        // Nothing is promised before the space after `From`.
        self.written.is_none_or(|written| written == 0)
    }

    fn step(mut self, byte: u8) -> Option<Self> {
        if self.complete && byte.is_ascii_digit() {
            return None;
        }
        self.complete = false;
        self.written = match self.written {
            Some(written) if self.fits(written, byte) => {
                if INTERVAL[written] == b'0' {
                    self.digits.rotate_left(1);
                    self.digits[3] = byte;
                }
                self.complete = written + 1 == INTERVAL.len();
                (!self.complete).then_some(written + 1)
            }
            // `Fromage` is a word like any other.
            Some(0) | None => None,
            Some(_) => return None,
        };
        // A second space before the text, as SentencePiece spells it, is no part of it.
        if byte != b' ' || self.tail != [0; MEMORY] {
            self.tail.rotate_left(1);
            self.tail[MEMORY - 1] = byte;
        }
        if self.written.is_none() && !self.complete && self.begins() {
            self.written = Some(0);
        }
        Some(self)
    }

    /// Whether `byte` may be the one at `at` of an interval.
    fn fits(&self, at: usize, byte: u8) -> bool {
        // The digits so far are the last of `digits`; those of the end are held against those of the start.
        let least = match at {
            7 => self.digits[2],
            8 if self.digits[3] == self.digits[1] => self.digits[2],
            _ => b'0',
        };
        match INTERVAL[at] {
            b'0' => byte.is_ascii_digit() && byte >= least,
            exact => byte == exact,
        }
    }

    /// Whether the text ends in the words before an interval.
    fn begins(&self) -> bool {
        if self.tail.ends_with(WITHIN) {
            return true;
        }
        let Some(before) = self.tail.strip_suffix(FIRST) else { return false };
        let ends = |byte: u8| matches!(byte, b'.' | b'!' | b'?');
        match before {
            [.., 0] | [.., b'\n'] => true,
            [.., mark, b' '] => ends(*mark),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(text: &str) -> bool {
        Times::new().after(text.as_bytes()).is_some()
    }

    #[test]
    fn intervals_of_two_digits_pass_and_others_do_not() {
        let right = [
            "From 20 to 55, a dog, seen and heard. From 60 to 80, a violin, heard.",
            "From 00 to 53, and from 57 to 99.",
            " From 20 to 20, seen.",
            "From 99 to 99",
            "Nothing happens.\nFrom 03 to 17!",
        ];
        for text in right {
            assert!(accepts(text), "{text}");
        }
        let wrong = [
            "From 2 to 5.",
            "From 20 to 19",
            "From 20 to 5.",
            "From 20 to 555",
            "From 200 to 300",
            "From the start",
            "From  20 to 30",
            "From 20 till",
            "From 20 to 30, seen. From x",
            "From 20 to 30, heard, and from 1.",
            "Nothing. From Paris",
        ];
        for text in wrong {
            assert!(!accepts(text), "{text}");
            // The text is right up to somewhere inside the interval.
            assert!(accepts(&text[..4]), "{text}");
        }
    }

    #[test]
    fn words_that_begin_no_interval_are_free() {
        let texts = [
            "Fromage is cheese. Fromage 5.",
            "From",
            "a voice from far away, and from",
            "It comes from 5 people and from Rome.",
            "a sound From 3 sides, from 4 even",
            "5 dogs, 12345 cats",
        ];
        for text in texts {
            assert!(accepts(text), "{text}");
        }
    }

    #[test]
    fn an_answer_does_not_end_inside_an_interval() {
        let ends = |text: &str| Times::new().after(text.as_bytes()).map(|state| state.may_end());
        for text in ["From ", "From 2", "From 20", "From 20 t", "From 20 to 3", "From 20 to 30, and from 4"] {
            assert_eq!(ends(text), Some(false), "{text}");
        }
        for text in ["", "From", "From 20 to 30", "From 20 to 30.", "Nothing happens."] {
            assert_eq!(ends(text), Some(true), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_first_byte_that_fits_leads_to_a_time_from_everywhere(text in "(From |, and from |[a-z0-9 .,]){0,12}") {
            // Wherever an allowed text stands, some byte goes on, and digits and letters alone bring it to an end.
            let Some(mut state) = Times::new().after(text.as_bytes()) else { return Ok(()) };
            for _ in 0..INTERVAL.len() {
                if state.may_end() {
                    break;
                }
                let next = (0..=255).find_map(|byte| state.after(&[byte]));
                prop_assert!(next.is_some(), "{text}: nothing may follow");
                state = next.unwrap_or(state);
            }
            prop_assert!(state.may_end(), "{text}: an interval without an end");
        }

        #[test]
        fn text_without_the_words_is_never_touched(text in "[A-EG-Z0-9a-eg-z ,.!?éß\n]{0,60}") {
            prop_assert!(accepts(&text));
        }

        #[test]
        fn pieces_of_any_size_give_the_same(text in "(From |From 2|0 to |30|, and from 57 to 99|[a-z .,0-9]){0,8}", cut in 0usize..40) {
            let bytes = text.as_bytes();
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(Times::new().after(a).and_then(|state| state.after(b)), Times::new().after(bytes));
        }
    }
}
