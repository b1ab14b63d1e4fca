//! What several courses of evidence say together: one thing seen and heard is one claim, a kind stands for what it is a kind of,
//! and weak rivals of something surer are confusions with it.

use avicuna_models::manifest::EvidenceSpec;
use avicuna_models::vocabulary::Vocabulary;

use crate::stream::Modality;

/// That something happens in a part of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::answer) struct Claim {
    /// Its place in the vocabulary.
    pub phrase: usize,
    /// A fraction of the window.
    pub start: f64,
    /// A fraction of the window.
    pub end: f64,
    /// The evidence for it, 0..=1.
    pub sure: f64,
    /// Which sense it appears to.
    pub modality: Modality,
}

impl Claim {
    fn length(&self) -> f64 {
        self.end - self.start
    }

    /// The part of the window that both last.
    pub fn shared(&self, other: &Self) -> f64 {
        (self.end.min(other.end) - self.start.max(other.start)).max(0.0)
    }

    /// Whether at least half of the shorter one lies in the other.
    fn goes_with(&self, other: &Self) -> bool {
        self.shared(other) >= 0.5 * self.length().min(other.length()) && self.shared(other) > 0.0
    }
}

/// Claims of one thing from both senses: those that go together become one.
pub(super) fn joined(claims: Vec<Claim>) -> Vec<Claim> {
    let (mut told, heard): (Vec<Claim>, Vec<Claim>) =
        claims.into_iter().partition(|claim| claim.modality == Modality::Visual);
    for claim in heard {
        let own = told.iter_mut().find(|seen| {
            seen.phrase == claim.phrase && seen.modality != Modality::Audio && seen.goes_with(&claim)
        });
        match own {
            Some(seen) => {
                (seen.start, seen.end) = (seen.start.min(claim.start), seen.end.max(claim.end));
                seen.sure = either(seen.sure, claim.sure);
                seen.modality = Modality::Both;
            }
            None => told.push(claim),
        }
    }
    told.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.phrase.cmp(&b.phrase)));
    told
}

/// Both being wrong is less likely than either.
fn either(one: f64, other: f64) -> f64 {
    1.0 - (1.0 - one) * (1.0 - other)
}

/// What is told of all claims of a window.
pub(super) fn tell(claims: Vec<Claim>, vocabulary: &Vocabulary, spec: &EvidenceSpec) -> Vec<Claim> {
    let claims = without_rivals(claims, vocabulary, spec);
    let mut claims = joined(claims);
    confirm(&mut claims, vocabulary);
    let kind_of = |narrow: &Claim, wide: &Claim| {
        narrow.phrase != wide.phrase && vocabulary.is_a(narrow.phrase, wide.phrase)
    };
    let told: Vec<Claim> = claims
        .iter()
        .filter(|wide| !claims.iter().any(|narrow| kind_of(narrow, wide) && narrow.goes_with(wide)))
        .copied()
        .collect();
    told
}

/// A sense that is surer of something leaves out what else of the group it half believes in at the same time.
fn without_rivals(claims: Vec<Claim>, vocabulary: &Vocabulary, spec: &EvidenceSpec) -> Vec<Claim> {
    let group = |claim: &Claim| vocabulary.phrases().get(claim.phrase).map(|phrase| phrase.group.as_str());
    let related =
        |a: &Claim, b: &Claim| vocabulary.is_a(a.phrase, b.phrase) || vocabulary.is_a(b.phrase, a.phrase);
    let share = |claim: &Claim| {
        let sense = if claim.modality == Modality::Audio { spec.heard.rival } else { spec.seen.rival };
        group(claim).and_then(|group| spec.rivals.get(group)).map_or(sense, |share| share.max(sense))
    };
    let beaten = |claim: &&Claim| {
        claims.iter().any(|other| {
            other.modality == claim.modality
                && group(other) == group(claim)
                && !related(other, claim)
                && other.goes_with(claim)
                && claim.sure < share(claim) * other.sure
        })
    };
    claims.iter().filter(|claim| !beaten(claim)).copied().collect()
}

/// Who speaks and is seen is seen and heard; so is the rooster that is heard where a bird is seen, and the other way round.
fn confirm(claims: &mut [Claim], vocabulary: &Vocabulary) {
    let all: Vec<Claim> = claims.to_vec();
    for claim in claims.iter_mut().filter(|claim| claim.modality != Modality::Both) {
        let own = vocabulary.phrases().get(claim.phrase);
        let confirms = |other: &&Claim| {
            let with = own.and_then(|phrase| phrase.with);
            let confirmed_by = claim.modality == Modality::Audio
                && with.is_some_and(|with| vocabulary.is_a(other.phrase, with));
            let wider = vocabulary.is_a(claim.phrase, other.phrase) && claim.phrase != other.phrase;
            other.modality != claim.modality && (confirmed_by || wider)
        };
        let covered: f64 = all.iter().filter(confirms).map(|other| claim.shared(other)).sum();
        if covered >= 0.5 * claim.length() {
            claim.modality = Modality::Both;
        }
    }
}
