//! Who is in a video: things that are often together, and things that are not, each about equally often over a corpus.

use super::draw::Draw;
use super::things::Things;

/// Videos whose things have nothing to do with each other.
const MIXED: f64 = 0.4;
/// Of the other videos' things, those that do not belong to the setting.
const STRANGER: f64 = 0.15;

/// What is found together, a setting a line: its name, its groups, other phrases.
const SETTINGS: &str = include_str!("settings.txt");

/// Deals things to videos.
pub(super) struct Dealer<'a> {
    things: &'a Things,
    /// The things of each setting; those of which the vocabulary has too few are left out.
    settings: Vec<Vec<usize>>,
    everything: Vec<usize>,
    /// How often each was dealt, over its weight.
    dealt: Vec<f64>,
}

impl<'a> Dealer<'a> {
    pub(super) fn new(things: &'a Things) -> Self {
        let everything: Vec<usize> =
            (0..things.all.len()).filter(|index| things.all[*index].weight > 0.0).collect();
        let of = |line: &str| -> Option<Vec<usize>> {
            let mut parts = line.split('|').skip(1).map(|part| part.split(',').map(str::trim).collect());
            let (groups, phrases): (Vec<&str>, Vec<&str>) = (parts.next()?, parts.next()?);
            let belongs = |index: &usize| {
                let thing = &things.all[*index];
                groups.contains(&thing.group.as_str()) || phrases.contains(&thing.text.as_str())
            };
            Some(everything.iter().copied().filter(belongs).collect())
        };
        // Of the others the vocabulary has too little to make a setting.
        let settings = SETTINGS.lines().filter_map(of).filter(|setting| setting.len() > 3).collect();
        Self { things, settings, everything, dealt: vec![0.0; things.all.len()] }
    }

    /// `count` things of one video, none of them twice.
    pub(super) fn deal(&mut self, count: usize, draw: &mut Draw) -> Vec<usize> {
        let mut settings = Vec::new();
        if !draw.chance(MIXED) {
            // Often more than one, such as a farm at a street.
            for _ in 0..draw.index(1..3) {
                settings.extend((!self.settings.is_empty()).then(|| draw.index(0..self.settings.len())));
            }
        }
        let mut cast: Vec<usize> = Vec::with_capacity(count);
        for _ in 0..count {
            let setting = if draw.chance(STRANGER) { None } else { draw.pick(&settings) };
            let next = self.next(setting, &cast, draw);
            cast.extend(next);
        }
        for thing in &cast {
            self.dealt[*thing] += 1.0 / self.things.all[*thing].weight;
        }
        cast
    }

    /// Of a few things at random the one that was dealt least.
    fn next(&self, setting: Option<usize>, cast: &[usize], draw: &mut Draw) -> Option<usize> {
        let (from, tries) = match setting {
            Some(setting) => (&self.settings[setting], 4),
            None => (&self.everything, 16),
        };
        let drawn: Vec<usize> = (0..tries).filter_map(|_| draw.pick(from)).collect();
        let new = drawn.into_iter().filter(|thing| !cast.contains(thing));
        new.min_by(|one, other| self.dealt[*one].total_cmp(&self.dealt[*other]))
    }
}
