//! Which feature rows and frames stand for a window's tokens, where features come from files of any length.
//!
//! Every function takes a [`Rule`]: [`Rule::Reference`] is what the released code does and what its weights saw,
//! [`Rule::Mended`] does what it was meant to do and is the default. A row that is not there is `None`; the reference
//! feeds zeros for it, the [`Interleaver`](avicuna_models::interleave::Interleaver) leaves its token out.

use avicuna_models::slots::Slot;

/// Whose rule is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// The released code's, to the row.
    Reference,
    /// Each token takes what lies at the middle of its share of the time, for both modalities alike.
    #[default]
    Mended,
}

/// How a window's tokens are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Visual tokens.
    pub visual: usize,
    /// Audio tokens.
    pub audio: usize,
}

impl Split {
    /// `tokens` of which the share `audio_rate` is audio. The reference cuts, so that 0.29 of 100 are 28; mended
    /// rounds. Rates outside `[0, 1]` count as the nearer end, and what is not a number as 0.
    pub fn new(tokens: usize, audio_rate: f64, rule: Rule) -> Self {
        let wanted = tokens as f64 * audio_rate.clamp(0.0, 1.0);
        let audio = match rule {
            Rule::Reference => wanted as usize,
            Rule::Mended => wanted.round() as usize,
        };
        Self { visual: tokens - audio, audio }
    }
}

/// The row at the middle of each token's share of `rows`: `floor((j + 1/2) rows / tokens)`. None of no rows.
///
/// ```text
/// 3 rows, 6 tokens:  0 0 1 1 2 2          7 rows, 3 tokens:  1 3 5
/// ```
pub fn uniform(rows: usize, tokens: usize) -> Vec<Option<usize>> {
    let middle = |token: usize| (2 * token + 1) * rows / (2 * tokens);
    (0..tokens).map(|token| (rows > 0).then(|| middle(token))).collect()
}

/// The row of each visual token.
///
/// The reference takes row `j * rows / tokens`. It does not stretch fewer rows than tokens: the tokens after the last
/// row get nothing, though the times in the answers count for the whole file.
///
/// ```text
/// Reference, 3 rows, 6 tokens:  0 1 2 - - -        Reference, 7 rows, 3 tokens:  0 2 4
/// ```
pub fn visual(rows: usize, tokens: usize, rule: Rule) -> Vec<Option<usize>> {
    match rule {
        Rule::Mended => uniform(rows, tokens),
        Rule::Reference if rows < tokens => (0..tokens).map(|j| (j < rows).then_some(j)).collect(),
        Rule::Reference => (0..tokens).map(|j| Some(j * rows / tokens)).collect(),
    }
}

/// The row of each audio token.
///
/// The reference repeats each row `tokens / rows` times, and the first `tokens % rows` once more. Of more rows than
/// tokens it takes the first and drops the rest: at one row every 4 s and 25 tokens it hears nothing after 106 s.
/// Without any row it fails and trains on another sample; here no token gets a row.
///
/// ```text
/// Reference, 3 rows, 8 tokens:  0 0 0 1 1 1 2 2    Reference, 7 rows, 3 tokens:  0 1 2
/// ```
pub fn audio(rows: usize, tokens: usize, rule: Rule) -> Vec<Option<usize>> {
    if rule == Rule::Mended || rows == 0 {
        return uniform(rows, tokens);
    }
    let (times, once_more) = (tokens / rows, tokens % rows);
    let repeated = |row: usize| std::iter::repeat_n(Some(row), times + usize::from(row < once_more));
    (0..rows).flat_map(repeated).collect()
}

/// `n` rows from the first to the last of `rows`, evenly, cut to whole rows: torch's `linspace(0, rows - 1, n)` in
/// single precision. Empty of no rows.
pub fn linspace(rows: usize, n: usize) -> Vec<usize> {
    let Some(last) = rows.checked_sub(1) else { return Vec::new() };
    let step = last as f32 / n.saturating_sub(1) as f32;
    let row = |i: usize| {
        // From the nearer end and in one rounding, as torch does: another order gives other rows (15 of 3).
        let from_start = i < n / 2 || n == 1;
        let value =
            if from_start { step * i as f32 } else { (-step).mul_add((n - i - 1) as f32, last as f32) };
        if n == 1 { 0 } else { value as usize }
    };
    (0..n).map(row).collect()
}

/// The frames of a video that stand for its visual tokens. `total` frames in the file, `span` is the part to watch in
/// seconds, all of it if `None`.
///
/// The reference goes from the first to the last frame of the span, both included, and repeats frames where there are
/// fewer than tokens. Mended takes the middle of each token's share.
pub fn frames(
    total: usize,
    fps: f64,
    span: Option<(f64, f64)>,
    tokens: usize,
    rule: Rule,
) -> Vec<Option<usize>> {
    let Some(last) = total.checked_sub(1) else { return vec![None; tokens] };
    // What is negative becomes 0 in the cast.
    let at = |seconds: f64| ((seconds * fps) as usize).min(last);
    let (first, last) = span.map_or((0, last), |(start, end)| (at(start), at(end)));
    let last = last.max(first);
    match rule {
        Rule::Mended => {
            uniform(last - first + 1, tokens).into_iter().map(|row| row.map(|row| first + row)).collect()
        }
        Rule::Reference => {
            let step = (last - first) as f64 / tokens.saturating_sub(1).max(1) as f64;
            let frame = |i: usize| {
                let value = if i < tokens / 2 || tokens == 1 {
                    first as f64 + step * i as f64
                } else {
                    last as f64 - step * (tokens - i - 1) as f64
                };
                Some(value as usize)
            };
            (0..tokens).map(frame).collect()
        }
    }
}

/// A time as the LLM reads it: hundredths of `duration`, half to even, at most `99`, in two digits.
///
/// The reference does not bound it below, so that a time before the video reads `-2`; mended writes `00`.
pub fn time_text(seconds: f64, duration: f64, rule: Rule) -> String {
    let slot = Slot::of(seconds, duration);
    match rule {
        Rule::Reference if seconds < 0.0 => {
            format!("{:02}", (seconds / duration * 100.0).round_ties_even() as i64)
        }
        _ => slot.to_string(),
    }
}

/// One clip inside a pseudo-untrimmed video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubVideo {
    /// Its length is `10 s * scale`.
    pub scale: f64,
    /// Rows of its visual features; `None` without a file.
    pub visual: Option<usize>,
    /// Rows of its audio features; `None` without a file.
    pub audio: Option<usize>,
}

impl SubVideo {
    /// Seconds that the reference gives it: `int(10 scale)`, so that a scale of 0.58 lasts 5 s.
    pub fn whole_seconds(&self) -> usize {
        (self.scale * 10.0) as usize
    }
}

/// A sub-video and a row of its features, for every token.
pub type SubRows = Vec<Option<(usize, usize)>>;

/// The visual and the audio rows of a video that is joined from `subs`.
///
/// The reference scales only the pictures: it takes one visual row a second of each sub-video and then as many as the
/// window has tokens, but joins the audio rows as they are, so that sound drifts against picture; and it takes
/// nothing for the tokens after the last visual row. Mended, a token of either modality is what lies at its time.
pub fn pseudo(subs: &[SubVideo], split: Split, rule: Rule) -> (SubRows, SubRows) {
    match rule {
        Rule::Mended => {
            let seen = |sub: &SubVideo| sub.visual;
            let heard = |sub: &SubVideo| sub.audio;
            (by_time(subs, split.visual, seen), by_time(subs, split.audio, heard))
        }
        Rule::Reference => {
            let (mut seen, mut heard) = (Vec::new(), Vec::new());
            for (index, sub) in subs.iter().enumerate() {
                match sub.visual {
                    Some(rows) => seen.extend(
                        linspace(rows, sub.whole_seconds()).into_iter().map(|row| Some((index, row))),
                    ),
                    None => seen.extend(vec![None; sub.whole_seconds()]),
                }
                match sub.audio {
                    Some(rows) => heard.extend((0..rows).map(|row| Some((index, row)))),
                    None => heard.push(None),
                }
            }
            let taken = |rows: Vec<Option<usize>>, joined: &SubRows| -> SubRows {
                rows.into_iter().map(|row| row.and_then(|row| joined[row])).collect()
            };
            let visual_rows = visual(seen.len(), split.visual, rule);
            let audio_rows = audio(heard.len(), split.audio, rule);
            (taken(visual_rows, &seen), taken(audio_rows, &heard))
        }
    }
}

/// What lies at the middle of each token's share of the joined length.
fn by_time(subs: &[SubVideo], tokens: usize, rows: impl Fn(&SubVideo) -> Option<usize>) -> SubRows {
    let total: f64 = subs.iter().map(|sub| sub.scale).sum();
    let at = |token: usize| {
        let time = (token as f64 + 0.5) / tokens as f64 * total;
        let mut end = 0.0;
        let playing = subs.iter().enumerate().find(|(_, sub)| {
            end += sub.scale;
            time < end
        });
        let (index, sub) = playing?;
        let rows = rows(sub).filter(|rows| *rows > 0)?;
        let within = (1.0 - (end - time) / sub.scale).max(0.0);
        Some((index, ((within * rows as f64) as usize).min(rows - 1)))
    };
    (0..tokens).map(at).collect()
}
