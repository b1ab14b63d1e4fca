//! The LLM's localizations and the encoders' claims about one question of a window, heard together: what both say is surer than what
//! one says. `docs/evidence.md` states the rule. Pure.

use avicuna_models::evidence::Evidence;
use avicuna_models::manifest::Weights;
use avicuna_models::slots::Slot;

use super::evidence::{Claim, Witness};
use super::{Inquiry, Localization, label_key};
use crate::stream::Modality;

/// How far from certain anything is taken to be, so that its logit is a number.
const DOUBT: f64 = 0.005;

/// An answer below is more likely wrong than right: the query's subject may answer instead.
const LIKELY: f64 = 0.5;

/// Evidence that stands for none at all.
const NONE: f64 = 0.01;

/// What happens: every claim of the encoders, surer where the LLM says it too; and what the LLM alone says, as sure as the evidence
/// allows. A label that is no phrase of the vocabulary has no evidence.
pub(super) fn detected(
    said: Vec<Localization>,
    evidence: &Evidence,
    witness: &Witness<'_>,
) -> Vec<Localization> {
    let phrases: Vec<Option<usize>> = said.iter().map(|said| phrase(&said.label, witness)).collect();
    let claims = witness.everything(evidence);
    let mut told = Vec::new();
    let mut used = vec![false; said.len()];
    for claim in &claims {
        let kin = |phrase: usize| {
            witness.vocabulary.is_a(phrase, claim.phrase) || witness.vocabulary.is_a(claim.phrase, phrase)
        };
        let mut best: Option<f64> = None;
        for ((said, phrase), used) in said.iter().zip(&phrases).zip(&mut used) {
            if phrase.is_some_and(kin) && overlaps(said, claim) {
                *used = true;
                best = Some(best.unwrap_or(0.0).max(said.score));
            }
        }
        let text = &witness.vocabulary.phrases()[claim.phrase].text;
        let weights = unasked(witness, Some(claim.phrase), Some(claim.modality));
        told.push(localization(claim, text, score(&weights, claim.sure, best, Some(claim.modality)), false));
    }
    for ((mut said, phrase), used) in said.into_iter().zip(phrases).zip(used) {
        if used {
            continue;
        }
        let support = phrase.map_or(NONE, |phrase| witness.support(&[phrase], evidence, span(&said)));
        let weights = unasked(witness, phrase, said.modality);
        said.score = score(&weights, support, Some(said.score), said.modality);
        told.push(said);
    }
    told
}

/// What the LLM may say of a window, where it reads in the evidence what the encoders claim, one sentence each.
pub(super) fn expected(evidence: &Evidence, witness: &Witness<'_>) -> Vec<String> {
    let claims = witness.everything(evidence);
    let text = |claim: &Claim| witness.vocabulary.phrases()[claim.phrase].text.as_str();
    claims.iter().map(|claim| localization(claim, text(claim), claim.sure, false).text).collect()
}

/// The weights of what is told unasked: the bias has what is known of the phrase beforehand.
fn unasked(witness: &Witness<'_>, phrase: Option<usize>, modality: Option<Modality>) -> Weights {
    let prior = phrase.zip(modality).map_or(0.0, |(phrase, modality)| witness.prior(phrase, modality));
    let weights = witness.spec.detect;
    Weights { bias: weights.bias + prior, ..weights }
}

/// When something that was asked for happens; where nothing of what the query means does, when its subject is there.
pub(super) fn grounded(
    label: &str,
    inquiry: &Inquiry,
    said: Vec<Localization>,
    evidence: &Evidence,
    witness: &Witness<'_>,
) -> Vec<Localization> {
    let told = if inquiry.meant.is_empty() {
        // Nothing of what the encoders know: the LLM guesses.
        let guess = |said: Localization| Localization {
            score: score(&witness.spec.query, NONE, Some(said.score), said.modality),
            ..said
        };
        said.into_iter().map(guess).collect()
    } else {
        asked_for(label, &inquiry.meant, said, evidence, witness)
    };
    match inquiry.subject {
        Some(subject) if told.iter().all(|told: &Localization| told.score < LIKELY) => {
            let there = asked_for(label, &[subject], Vec::new(), evidence, witness);
            let partly =
                |found: Localization| Localization { score: found.score * witness.spec.subject, ..found };
            told.into_iter().chain(there.into_iter().map(partly)).collect()
        }
        _ => told,
    }
}

/// When any of the phrases `meant` happens.
fn asked_for(
    label: &str,
    meant: &[usize],
    said: Vec<Localization>,
    evidence: &Evidence,
    witness: &Witness<'_>,
) -> Vec<Localization> {
    let weights = &witness.spec.query;
    let mut used = vec![false; said.len()];
    let mut told = Vec::new();
    for claim in &witness.of(meant, evidence) {
        let mut best: Option<f64> = None;
        for (said, used) in said.iter().zip(&mut used).filter(|(said, _)| overlaps(said, claim)) {
            *used = true;
            best = Some(best.unwrap_or(0.0).max(said.score));
        }
        told.push(localization(claim, label, score(weights, claim.sure, best, Some(claim.modality)), true));
    }
    for (mut said, used) in said.into_iter().zip(used) {
        if !used {
            let support = witness.support(meant, evidence, span(&said));
            said.score = score(weights, support, Some(said.score), said.modality);
            told.push(said);
        }
    }
    told
}

/// The phrase that a label of the LLM is.
fn phrase(label: &str, witness: &Witness<'_>) -> Option<usize> {
    let exact = witness.vocabulary.find(label);
    exact.or_else(|| {
        let key = label_key(label);
        witness.vocabulary.phrases().iter().position(|phrase| label_key(&phrase.text) == key)
    })
}

fn score(weights: &Weights, evidence: f64, said: Option<f64>, modality: Option<Modality>) -> f64 {
    let logit = |p: f64| {
        let p = p.clamp(DOUBT, 1.0 - DOUBT);
        (p / (1.0 - p)).ln()
    };
    let word = said.map_or(weights.unsaid, |said| weights.said * logit(said));
    let bias = weights.bias + if modality == Some(Modality::Visual) { weights.seen } else { 0.0 };
    1.0 / (1.0 + (-(bias + weights.evidence * logit(evidence) + word)).exp())
}

fn span(said: &Localization) -> [f64; 2] {
    [said.start.fraction(), said.end.end_fraction()]
}

fn overlaps(said: &Localization, claim: &Claim) -> bool {
    let [start, end] = span(said);
    start < claim.end && claim.start < end
}

fn localization(claim: &Claim, label: &str, score: f64, queried: bool) -> Localization {
    let start = Slot::of(claim.start, 1.0);
    let end = Slot::of(claim.end, 1.0).max(start);
    let text = format!("From {start} to {end}, {label}, {}.", claim.modality.said());
    Localization { label: label.to_owned(), text, start, end, score, queried, modality: Some(claim.modality) }
}
