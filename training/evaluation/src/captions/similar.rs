//! Captions in a row that say the same become one. How alike two texts are is the ratio of Ratcliff and Obershelp, as
//! Python's `difflib` computes it.

use std::collections::HashMap;

/// A caption with its times in hundredths of the video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// In words.
    pub sentence: String,
    /// First hundredth.
    pub start: i32,
    /// Last hundredth.
    pub end: i32,
}

/// Joins a caption with the one before it when they are alike (ratio above 0.98) and it starts at most one hundredth
/// before or after the end of that one; the earlier one's words stay.
pub fn merge_similar(captions: Vec<Caption>) -> Vec<Caption> {
    let mut merged: Vec<Caption> = Vec::with_capacity(captions.len());
    for caption in captions {
        match merged.last_mut() {
            Some(last)
                if (-1..=1).contains(&(caption.start - last.end))
                    && ratio(&last.sentence, &caption.sentence) > 0.98 =>
            {
                last.end = caption.end;
            }
            _ => merged.push(caption),
        }
    }
    merged
}

/// From this length on, signs of `other` that make up more than a hundredth of it do not begin a match.
const POPULAR_FROM: usize = 200;

/// 0..=1: twice the signs in matching blocks, by the signs of both texts; 1 where both are empty.
///
/// The longest matching block is taken first, then those before and after it; among equally long ones the earliest.
pub fn ratio(one: &str, other: &str) -> f64 {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let all = one.len() + other.len();
    if all == 0 {
        return 1.0;
    }
    let mut places: HashMap<char, Vec<usize>> = HashMap::new();
    for (place, sign) in other.iter().enumerate() {
        places.entry(*sign).or_default().push(place);
    }
    if other.len() >= POPULAR_FROM {
        let most = other.len() / 100 + 1;
        places.retain(|_, places| places.len() <= most);
    }
    let mut matching = 0;
    let mut left = vec![(0, one.len(), 0, other.len())];
    while let Some((from, to, low, high)) = left.pop() {
        let (at, against, length) = longest(&one, &other, &places, (from, to, low, high));
        if length > 0 {
            matching += length;
            left.push((from, at, low, against));
            left.push((at + length, to, against + length, high));
        }
    }
    2.0 * matching as f64 / all as f64
}

/// The longest common block of `one[from..to]` and `other[low..high]`: where it starts in each, and its length.
fn longest(
    one: &[char],
    other: &[char],
    places: &HashMap<char, Vec<usize>>,
    (from, to, low, high): (usize, usize, usize, usize),
) -> (usize, usize, usize) {
    let mut best = (from, low, 0);
    // Lengths of the common blocks that end at each place of `other` and at the sign of `one` before.
    let mut ending: HashMap<usize, usize> = HashMap::new();
    for (at, sign) in one.iter().enumerate().take(to).skip(from) {
        let mut now = HashMap::new();
        for &place in places.get(sign).into_iter().flatten().filter(|place| (low..high).contains(*place)) {
            let length =
                place.checked_sub(1).and_then(|before| ending.get(&before)).map_or(1, |before| before + 1);
            now.insert(place, length);
            if length > best.2 {
                best = (at + 1 - length, place + 1 - length, length);
            }
        }
        ending = now;
    }
    // Popular signs begin no block but widen one.
    let (mut at, mut against, mut length) = best;
    while at > from && against > low && one[at - 1] == other[against - 1] {
        (at, against, length) = (at - 1, against - 1, length + 1);
    }
    while at + length < to && against + length < high && one[at + length] == other[against + length] {
        length += 1;
    }
    (at, against, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_is_what_shares_its_blocks() {
        assert_eq!(ratio("", ""), 1.0);
        assert_eq!(ratio("abc", "xyz"), 0.0);
        assert_eq!(ratio("abcd", "bcde"), 0.75);
        assert_eq!(
            ratio("private Thread currentThread;", "private volatile Thread currentThread;"),
            58.0 / 67.0
        );
    }

    #[test]
    fn in_long_texts_popular_signs_begin_no_block() {
        // Python's difflib says the same of both.
        let long = "a".repeat(199);
        assert_eq!(ratio(&format!("b{long}"), &format!("x{long}")), 0.0);
        assert_eq!(ratio(&format!("a{long}"), &format!("{}{}", "a".repeat(150), "b".repeat(50))), 0.75);
    }
}
