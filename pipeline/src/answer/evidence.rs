//! What the encoders' own classes say of a window, without the LLM: courses of evidence become claims, each a phrase, a span of
//! slots and how sure the encoders are of it. `docs/evidence.md` states the rules. Pure.

mod claims;
mod spans;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use avicuna_models::evidence::Evidence;
use avicuna_models::manifest::EvidenceSpec;
use avicuna_models::vocabulary::Vocabulary;

pub(super) use self::claims::Claim;
use self::claims::{joined, tell};
use self::spans::{Course, spans};
use crate::record::Modality;

/// Reads evidence.
#[derive(Debug, Clone)]
pub(super) struct Witness<'a> {
    pub vocabulary: &'a Vocabulary,
    pub spec: &'a EvidenceSpec,
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
                claims.extend(self.claims(&own, std::slice::from_ref(course), modality, 1.0));
            }
        }
        tell(claims, self.vocabulary, self.spec)
    }

    /// What the evidence says of any of `phrases` or a kind of them, where that is asked for. `ease` is how much less is enough than
    /// where nothing is asked.
    pub fn of(&self, phrases: &[usize], evidence: &Evidence, ease: f64) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (courses, modality) in [(&evidence.seen, Modality::Visual), (&evidence.heard, Modality::Audio)] {
            let own: Vec<_> =
                courses.iter().filter(|course| self.means(phrases, course.phrase)).cloned().collect();
            claims.extend(self.claims(phrases, &own, modality, ease));
        }
        joined(claims)
    }

    /// The evidence for any of `phrases` between two fractions of the window: the mean of its three surest slots, in the surer sense.
    pub fn support(&self, phrases: &[usize], evidence: &Evidence, [start, end]: [f64; 2]) -> f64 {
        let strongest = |courses: &[avicuna_models::evidence::Course]| {
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
    fn claims(
        &self,
        phrases: &[usize],
        courses: &[avicuna_models::evidence::Course],
        modality: Modality,
        ease: f64,
    ) -> Vec<Claim> {
        let Some(slots) = courses.iter().map(|course| course.slots.len()).max() else { return Vec::new() };
        let at = |slot: usize| courses.iter().filter_map(|c| c.slots.get(slot)).fold(0f32, |a, b| a.max(*b));
        let course = Course { values: (0..slots).map(at).collect(), seconds: self.seconds };
        let mut levels = if modality == Modality::Visual { self.spec.seen } else { self.spec.heard };
        if let (Modality::Visual, Some(least)) = (modality, self.least_of_group(phrases)) {
            levels.on = least;
        }
        levels.on *= ease;
        levels.off *= ease;
        let claim = |span: spans::Span| Claim {
            phrase: phrases[0],
            start: span.start,
            end: span.end,
            sure: span.sure,
            modality,
        };
        spans(&course, &levels).into_iter().map(claim).collect()
    }

    fn least_of_group(&self, phrases: &[usize]) -> Option<f64> {
        let groups: &BTreeMap<String, f64> = &self.spec.groups;
        let phrase = self.vocabulary.phrases().get(*phrases.first()?)?;
        groups.get(&phrase.group).copied()
    }
}
