//! Where the evidence for one thing is high enough to be an event (event-level confidence beside boundaries, after SEBBs,
//! arXiv 2406.04212).

use avicuna_models::manifest::Levels;

/// Fractions of the window, and the mean of its three surest slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub start: f64,
    pub end: f64,
    pub sure: f64,
}

/// The events of evidence by slot, of `seconds` altogether, in order and apart.
///
/// A median of three takes out what flickers. Slots above `off` that touch are one candidate, which `on` decides about as a whole;
/// it reaches as far as the evidence is at least `edge` of its surest. Holes up to `gap` are closed; what is shorter than `least` then is left
/// out.
pub(super) fn spans(values: &[f32], seconds: f64, levels: &Levels) -> Vec<Span> {
    let values = median(values);
    let count = values.len();
    if count == 0 {
        return Vec::new();
    }
    let slot = seconds / count as f64;
    let mut found: Vec<(usize, usize, f64)> = Vec::new();
    let mut first = 0;
    while first < count {
        if f64::from(values[first]) < levels.off {
            first += 1;
            continue;
        }
        let length = values[first..].iter().take_while(|value| f64::from(**value) >= levels.off).count();
        let end = first + length;
        let sure = surest(&values[first..end]);
        if sure >= levels.on {
            found.extend(pieces(&values, first..end, sure * levels.edge).map(|(a, b)| (a, b, sure)));
        }
        first = end;
    }
    closed(found, count, slot, levels)
}

/// As [`spans`], where it is known for each slot how likely it is there: it lasts while that is above `there`. `on` decides about the evidence
/// in that span.
pub(super) fn present(values: &[f32], there: &[f32], seconds: f64, levels: &Levels) -> Vec<Span> {
    let count = values.len();
    let runs =
        pieces(there, 0..count, levels.there).map(|(start, end)| (start, end, surest(&values[start..end])));
    let found = runs.filter(|(.., sure)| *sure >= levels.on).collect();
    closed(found, count, seconds / count.max(1) as f64, levels)
}

/// Without holes up to `gap`, and without what is shorter than `least` then.
fn closed(found: Vec<(usize, usize, f64)>, count: usize, slot: f64, levels: &Levels) -> Vec<Span> {
    let mut closed: Vec<(usize, usize, f64)> = Vec::new();
    for (start, end, sure) in found {
        match closed.last_mut() {
            Some(last) if (start - last.1) as f64 * slot <= levels.gap => {
                last.1 = end;
                last.2 = last.2.max(sure);
            }
            _ => closed.push((start, end, sure)),
        }
    }
    closed.retain(|(start, end, _)| (end - start) as f64 * slot >= levels.least);
    let fraction = |slot: usize| slot as f64 / count as f64;
    closed
        .into_iter()
        .map(|(start, end, sure)| Span { start: fraction(start), end: fraction(end), sure })
        .collect()
}

/// The runs of `within` that reach `level`.
fn pieces(
    values: &[f32],
    within: std::ops::Range<usize>,
    level: f64,
) -> impl Iterator<Item = (usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for slot in within.filter(|slot| f64::from(values[*slot]) >= level) {
        match runs.last_mut() {
            Some(run) if run.1 == slot => run.1 = slot + 1,
            _ => runs.push((slot, slot + 1)),
        }
    }
    runs.into_iter()
}

/// The mean of the three highest values; of fewer, of all.
pub(super) fn surest(values: &[f32]) -> f64 {
    let mut highest = [0f32; 3];
    for value in values {
        let place = highest.iter().position(|known| value > known);
        if let Some(place) = place {
            highest[place..].rotate_right(1);
            highest[place] = *value;
        }
    }
    let count = values.len().clamp(1, 3);
    highest[..count].iter().map(|value| f64::from(*value)).sum::<f64>() / count as f64
}

/// Of each value and its neighbours the middle one; the ends have one neighbour and keep the lower of both.
fn median(values: &[f32]) -> Vec<f32> {
    let middle = |slot: usize| {
        let own = values[slot];
        match (slot.checked_sub(1).map(|before| values[before]), values.get(slot + 1)) {
            (Some(before), Some(after)) => own.max(before.min(*after)).min(before.max(*after)),
            (Some(other), None) => own.min(other),
            (None, Some(other)) => own.min(*other),
            (None, None) => own,
        }
    };
    (0..values.len()).map(middle).collect()
}
