//! What the encoders' own classes say of a window, without the LLM: courses of evidence become claims, each a phrase, a span of
//! slots and how sure the encoders are of it. `docs/evidence.md` states the rules. Pure.

mod claims;
mod spans;
#[cfg(test)]
mod tests;

use avicuna_models::evidence::{Course, Evidence, Presence};
use avicuna_models::manifest::{EvidenceSpec, Levels};
use avicuna_models::vocabulary::Vocabulary;

pub(super) use self::claims::Claim;
use self::claims::{joined, tell};
use self::spans::{present, spans};
use crate::stream::Modality;

/// Reads evidence.
#[derive(Debug, Clone)]
pub(super) struct Witness<'a> {
    pub vocabulary: &'a Vocabulary,
    pub spec: &'a EvidenceSpec,
    /// Finds where something heard is there.
    pub presence: Option<&'a Presence>,
    /// Seconds of a window.
    pub seconds: f64,
}

impl Witness<'_> {
    /// Everything that the evidence tells, in the order of starts.
    pub fn everything(&self, evidence: &Evidence) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (courses, modality) in [(&evidence.seen, Modality::Visual), (&evidence.heard, Modality::Audio)] {
            for course in courses {
                let own = [course.phrase];
                claims.extend(self.claims(&own, std::slice::from_ref(course), modality, false));
            }
        }
        tell(claims, self.vocabulary, self.spec)
    }

    /// What the evidence says of any of `phrases` or a kind of them, where that is asked for, so that less of it is enough.
    pub fn of(&self, phrases: &[usize], evidence: &Evidence) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (courses, modality) in [(&evidence.seen, Modality::Visual), (&evidence.heard, Modality::Audio)] {
            let own: Vec<_> =
                courses.iter().filter(|course| self.means(phrases, course.phrase)).cloned().collect();
            claims.extend(self.claims(phrases, &own, modality, true));
        }
        joined(claims)
    }

    /// The evidence for any of `phrases` between two fractions of the window: the mean of its three surest slots, in the surer sense.
    pub fn support(&self, phrases: &[usize], evidence: &Evidence, [start, end]: [f64; 2]) -> f64 {
        let strongest = |courses: &[Course]| {
            let own = courses.iter().filter(|course| self.means(phrases, course.phrase));
            let within = own.map(|course| {
                let slots = course.slots.len() as f64;
                let first = ((start * slots) as usize).min(course.slots.len());
                let last = ((end * slots).ceil() as usize).clamp(first, course.slots.len());
                spans::surest(&course.slots[first..last])
            });
            within.fold(0.0, f64::max)
        };
        strongest(&evidence.seen).max(strongest(&evidence.heard))
    }

    fn means(&self, phrases: &[usize], found: usize) -> bool {
        phrases.iter().any(|phrase| self.vocabulary.is_a(found, *phrase))
    }

    /// The claims of the surest of `courses` at every slot.
    fn claims(&self, phrases: &[usize], courses: &[Course], modality: Modality, asked: bool) -> Vec<Claim> {
        let Some(slots) = courses.iter().map(|course| course.slots.len()).max() else { return Vec::new() };
        let value = |course: &Course, slot: usize| course.slots.get(slot).copied().unwrap_or(0.0);
        let at = |slot: usize| courses.iter().map(|course| value(course, slot)).fold(0f32, f32::max);
        let values: Vec<f32> = (0..slots).map(at).collect();
        let levels = if modality == Modality::Visual { self.spec.seen } else { self.spec.heard };
        let ease = if asked { levels.asked } else { 1.0 };
        let levels =
            Levels { on: levels.on * ease, off: levels.off * ease, least: levels.least * ease, ..levels };
        let claim = |span: spans::Span| Claim {
            phrase: phrases[0],
            start: span.start,
            end: span.end,
            sure: span.sure,
            modality,
        };
        let found = match self.presence.filter(|_| modality == Modality::Audio) {
            Some(presence) => present(&values, &presence.of(&values), self.seconds, &levels),
            None => spans(&values, self.seconds, &levels),
        };
        found.into_iter().map(claim).collect()
    }

    /// The log odds that a phrase is there where only this sense notices it, beside what the evidence says.
    pub fn prior(&self, phrase: usize, modality: Modality) -> f64 {
        let priors = match modality {
            Modality::Visual => &self.spec.priors.seen,
            Modality::Audio => &self.spec.priors.heard,
            Modality::Both => return 0.0,
        };
        let phrase = self.vocabulary.phrases().get(phrase);
        let prior = phrase.and_then(|phrase| priors.get(&phrase.text).or_else(|| priors.get(&phrase.group)));
        prior.copied().unwrap_or(0.0)
    }
}
