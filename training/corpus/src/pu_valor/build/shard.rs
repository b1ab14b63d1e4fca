//! One of several equal parts of the work.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The part `index` of `of`, counted from 1; written `2/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub index: usize,
    /// All parts.
    pub of: usize,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// Which of `count` items belong to it: a run of them, no two runs differing by more than one.
    pub fn range(self, count: usize) -> Range<usize> {
        let up_to = |parts: usize| (count as u128 * parts as u128 / self.of as u128) as usize;
        up_to(self.index - 1)..up_to(self.index)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no shard; write NUMBER/ALL, counted from 1, such as 2/8");
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        let shard = Self { index: number(index)?, of: number(of)? };
        if (1..=shard.of).contains(&shard.index) && shard.of < 100_000 { Ok(shard) } else { Err(wrong()) }
    }
}
