//! A place in an answer, and the words that can stand there.

use std::ops::Range;

use avicuna_models::slots::Slot;

/// A place in the text of an answer. A method that does not match leaves it where it was.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `range`, which the cursor never leaves.
    pub fn new(text: &'a str, range: &Range<usize>) -> Self {
        Self { text, at: range.start, end: range.end }
    }

    /// Byte offset in the whole text.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What follows.
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..self.end]
    }

    /// Skips white space; whether there was any.
    pub fn space(&mut self) -> bool {
        let before = self.at;
        self.at = self.end - self.rest().trim_start().len();
        self.at > before
    }

    /// A character.
    pub fn sign(&mut self, sign: char) -> bool {
        self.any_sign(&[sign])
    }

    /// One of several characters.
    pub fn any_sign(&mut self, signs: &[char]) -> bool {
        let found = self.rest().chars().next().filter(|next| signs.contains(next));
        self.at += found.map_or(0, char::len_utf8);
        found.is_some()
    }

    /// A whole word, in any case.
    pub fn word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
            && !rest[word.len()..].starts_with(char::is_alphanumeric);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Several words with white space between them.
    pub fn words(&mut self, words: &[&str]) -> bool {
        let mut ahead = self.clone();
        for (index, word) in words.iter().enumerate() {
            if index > 0 && !ahead.space() || !ahead.word(word) {
                return false;
            }
        }
        *self = ahead;
        true
    }

    /// Two digits that are no part of a longer word or number (`120`, `20.5`, `20:30`, `20,000`, `20%`).
    pub fn time(&mut self) -> Option<(Slot, Range<usize>)> {
        let (digits, after) = self.rest().split_at_checked(2)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut following = after.chars();
        let goes_on = match following.next() {
            Some('.' | ',' | ':') => following.next().is_some_and(char::is_numeric),
            Some(next) => next.is_alphanumeric() || matches!(next, '_' | '%' | '\'' | '/'),
            None => false,
        };
        let slot = Slot::new(digits.parse().ok()?).filter(|_| !goes_on)?;
        let range = self.at..self.at + 2;
        self.at += 2;
        Some((slot, range))
    }

    /// `from 12 to 34`, or `from 12-34` with any dash.
    pub fn span(&mut self) -> Option<Span> {
        let mut ahead = self.clone();
        if !ahead.word("from") || !ahead.space() {
            return None;
        }
        self.bare_span_of(ahead)
    }

    /// `12 to 34`.
    pub fn bare_span(&mut self) -> Option<Span> {
        self.bare_span_of(self.clone())
    }

    fn bare_span_of(&mut self, mut ahead: Self) -> Option<Span> {
        let (start, first) = ahead.time()?;
        let spaced = ahead.space();
        if ahead.any_sign(&['-', '–', '—']) {
            ahead.space();
        } else if !spaced || !ahead.word("to") || !ahead.space() {
            return None;
        }
        let (end, last) = ahead.time()?;
        let range = self.at..ahead.at;
        *self = ahead;
        Some(Span { start, end, digits: [first, last], range })
    }
}

/// Two times.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    /// As said; may be after `end`.
    pub start: Slot,
    /// As said.
    pub end: Slot,
    /// Where the digits stand in the answer.
    pub digits: [Range<usize>; 2],
    /// Where the whole stands in the answer.
    pub range: Range<usize>,
}
