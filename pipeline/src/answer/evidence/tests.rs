//! The rules of `docs/evidence.md`, one by one.

use std::path::Path;

use avicuna_models::evidence::{Course, Evidence};
use avicuna_models::manifest::{EvidenceSpec, Levels, Manifest, Priors};
use avicuna_models::slots::Slot;
use avicuna_models::vocabulary::{Classes, Vocabulary};

use super::spans::{self, Span, present, spans};
use super::*;
use crate::answer::{Asked, Inquiry, Localization, both};

const COCO: [&str; 4] = ["dog", "cat", "person", "bird"];

/// Phrases 0 to 6; what is heard has classes of AudioSet only to be in the vocabulary, none of which is looked at here.
fn vocabulary() -> Vocabulary {
    let rest = |list: Classes, taken: &[&str]| {
        let names: Vec<String> =
            list.names().filter(|name| !taken.contains(name)).map(|name| format!("{name:?}")).collect();
        names.join(", ")
    };
    let text = format!(
        "[silent]\ncoco = [{}]\naudioset = [{}]\n{}",
        rest(Classes::Coco, &COCO),
        rest(Classes::Audioset, &["Dog", "Animal", "Speech", "Cat", "Crow"]),
        r#"
        [[phrase]]
        text = "an animal"
        group = "animals"
        audioset = ["Animal"]
        [[phrase]]
        text = "a dog"
        group = "animals"
        is = "an animal"
        coco = ["dog"]
        audioset = ["Dog"]
        [[phrase]]
        text = "a cat"
        group = "animals"
        is = "an animal"
        coco = ["cat"]
        audioset = ["Cat"]
        [[phrase]]
        text = "a bird"
        group = "animals"
        is = "an animal"
        coco = ["bird"]
        [[phrase]]
        text = "a crow"
        group = "animals"
        is = "a bird"
        audioset = ["Crow"]
        [[phrase]]
        text = "a person"
        group = "people"
        coco = ["person"]
        [[phrase]]
        text = "a person speaks"
        group = "people"
        audioset = ["Speech"]
        with = "a person"
        "#
    );
    Vocabulary::parse(&text, Path::new("words.toml")).expect("it is right")
}

/// Twenty slots of a second: `sure` from one second to another.
fn course(text: &str, from: usize, to: usize, sure: f32) -> Course {
    let phrase = vocabulary().find(text).expect(text);
    Course {
        phrase,
        slots: (0..20).map(|slot| if (from..to).contains(&slot) { sure } else { 0.01 }).collect(),
    }
}

fn told(seen: Vec<Course>, heard: Vec<Course>) -> Vec<(String, f64, f64, Modality)> {
    let (vocabulary, spec) = (vocabulary(), EvidenceSpec::default());
    let witness = Witness { vocabulary: &vocabulary, spec: &spec, presence: None, seconds: 20.0 };
    let claims = witness.everything(&Evidence { seen, heard });
    let round = |x: f64| (x * 20.0).round();
    let name = |claim: &Claim| vocabulary.phrases()[claim.phrase].text.clone();
    claims.iter().map(|c| (name(c), round(c.start), round(c.end), c.modality)).collect()
}

#[test]
fn evidence_becomes_spans_that_flicker_and_holes_do_not_cut() {
    let levels =
        Levels { on: 0.5, asked: 1.0, off: 0.2, edge: 0.5, there: 0.4, gap: 1.0, least: 0.0, rival: 0.5 };
    let of = |values: &[f32]| spans(values, values.len() as f64, &levels);
    assert_eq!(of(&[0.0; 10]), []);
    // One slot alone is a flicker.
    assert_eq!(of(&[0.0, 0.0, 0.9, 0.0, 0.0]), []);
    let event = of(&[0.0, 0.1, 0.3, 0.9, 0.9, 0.9, 0.3, 0.1, 0.0, 0.0]);
    assert_eq!(event.len(), 1);
    assert!((event[0].start - 0.3).abs() < 1e-9 && (event[0].end - 0.6).abs() < 1e-9, "{event:?}");
    // Low on the whole is nothing, however long.
    assert_eq!(of(&[0.4; 10]), []);
    // A hole of a second is closed, one of three is not.
    let hole = |length: usize| of(&[vec![0.8; 4], vec![0.0; length], vec![0.8; 4]].concat()).len();
    assert_eq!((hole(1), hole(3)), (1, 2));
    let slips = Levels { least: 3.0, ..levels };
    let short = [0.0, 0.0, 0.9, 0.9, 0.0, 0.0];
    assert_eq!((spans(&short, 6.0, &levels).len(), spans(&short, 6.0, &slips).len()), (1, 0));
    assert_eq!(of(&[0.8; 4]), [Span { start: 0.0, end: 1.0, sure: f64::from(0.8f32) }]);
}

#[test]
fn where_it_is_there_bounds_what_is_heard_and_the_evidence_decides() {
    let levels =
        Levels { on: 0.5, asked: 1.0, off: 0.2, edge: 0.5, there: 0.4, gap: 1.0, least: 0.0, rival: 0.5 };
    let evidence = [0.1, 0.3, 0.6, 0.8, 0.6, 0.3, 0.1, 0.4, 0.4, 0.1];
    let of = |there: &[f32]| -> Vec<(f64, f64)> {
        let found = present(&evidence, there, 10.0, &levels);
        found.iter().map(|span| ((span.start * 10.0).round(), (span.end * 10.0).round())).collect()
    };
    // A bark of a second, though the clips around it have heard it too.
    assert_eq!(of(&[0.0, 0.1, 0.3, 0.9, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0]), [(3.0, 4.0)]);
    // Where it is there for less evidence than it takes, nothing is told.
    assert_eq!(of(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.9, 0.0]), []);
    assert_eq!(
        of(&[0.0, 0.0, 0.9, 0.2, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0]),
        [(2.0, 5.0)],
        "a hole of a second is closed"
    );
    assert_eq!(present(&[], &[], 10.0, &levels), []);
}

#[test]
fn the_surest_three_count() {
    assert!((spans::surest(&[0.1, 0.9, 0.5, 0.7, 0.2]) - 0.7).abs() < 1e-6);
    assert!((spans::surest(&[0.4, 0.2]) - 0.3).abs() < 1e-6);
    assert_eq!(spans::surest(&[]), 0.0);
}

#[test]
fn one_thing_seen_and_heard_is_told_once() {
    let both = told(vec![course("a dog", 3, 15, 0.9)], vec![course("a dog", 5, 12, 0.8)]);
    assert_eq!(both, [("a dog".to_owned(), 3.0, 15.0, Modality::Both)]);
    let apart = told(vec![course("a dog", 0, 6, 0.9)], vec![course("a dog", 12, 18, 0.8)]);
    assert_eq!(apart.len(), 2);
}

#[test]
fn a_kind_stands_for_what_it_is_a_kind_of() {
    let dog = told(vec![], vec![course("a dog", 3, 15, 0.8), course("an animal", 2, 16, 0.9)]);
    assert_eq!(dog, [("a dog".to_owned(), 3.0, 15.0, Modality::Audio)]);
    let animal = told(vec![], vec![course("an animal", 2, 16, 0.9)]);
    assert_eq!(animal, [("an animal".to_owned(), 2.0, 16.0, Modality::Audio)]);
    let crow = told(vec![course("a bird", 1, 18, 0.9)], vec![course("a crow", 3, 15, 0.9)]);
    assert_eq!(crow, [("a crow".to_owned(), 3.0, 15.0, Modality::Both)]);
}

#[test]
fn who_speaks_and_is_seen_is_seen_and_heard() {
    let said = told(vec![course("a person", 0, 20, 0.9)], vec![course("a person speaks", 5, 12, 0.8)]);
    let expected =
        [("a person", 0.0, 20.0, Modality::Visual), ("a person speaks", 5.0, 12.0, Modality::Both)];
    assert_eq!(said, expected.map(|(text, start, end, modality)| (text.to_owned(), start, end, modality)));
}

#[test]
fn a_weak_rival_is_a_confusion() {
    let dog = told(vec![], vec![course("a dog", 3, 15, 0.95), course("a cat", 4, 14, 0.4)]);
    assert_eq!(dog.len(), 1, "{dog:?}");
    let two = told(vec![], vec![course("a dog", 3, 15, 0.95), course("a cat", 4, 14, 0.7)]);
    assert_eq!(two.len(), 2, "{two:?}");
}

fn said(label: &str, start: u8, end: u8, score: f64) -> Localization {
    let slot = |at| Slot::new(at).expect("a slot");
    Localization {
        label: label.into(),
        text: String::new(),
        start: slot(start),
        end: slot(end),
        score,
        queried: false,
        modality: Some(Modality::Audio),
    }
}

#[test]
fn what_both_say_is_surer_than_what_one_says() {
    let (vocabulary, spec) = (vocabulary(), EvidenceSpec::default());
    let witness = Witness { vocabulary: &vocabulary, spec: &spec, presence: None, seconds: 20.0 };
    let evidence = Evidence { seen: vec![], heard: vec![course("a dog", 4, 12, 0.8)] };
    let alone = both::detected(vec![], &evidence, &witness);
    let together = both::detected(vec![said("a dog", 18, 66, 0.9)], &evidence, &witness);
    assert_eq!((alone.len(), together.len()), (1, 1));
    assert!(together[0].score > alone[0].score);
    // The evidence says when.
    assert_eq!((together[0].start.get(), together[0].end.get()), (20, 60));
    // What rests on nothing is hardly believed, in the vocabulary's words or not.
    for label in ["a cat", "a bassoon"] {
        let invented = both::detected(vec![said(label, 20, 60, 0.95)], &Evidence::default(), &witness);
        assert!(invented[0].score < 0.2, "{label}: {}", invented[0].score);
    }
}

#[test]
fn what_is_known_of_a_phrase_beforehand_counts_where_one_sense_alone_notices_it() {
    let vocabulary = vocabulary();
    let priors = Priors {
        seen: [("a dog".to_owned(), -2.0), ("animals".to_owned(), 1.0)].into(),
        heard: [("animals".to_owned(), -1.0)].into(),
    };
    let odds = |priors: Priors, seen: Vec<Course>, heard: Vec<Course>| {
        let spec = EvidenceSpec { priors, ..EvidenceSpec::default() };
        let witness = Witness { vocabulary: &vocabulary, spec: &spec, presence: None, seconds: 20.0 };
        let told = both::detected(vec![], &Evidence { seen, heard }, &witness);
        assert_eq!(told.len(), 1, "{told:?}");
        (told[0].score / (1.0 - told[0].score)).ln()
    };
    let shift = |seen: &[&str], heard: &[&str]| {
        let courses = |texts: &[&str]| texts.iter().map(|text| course(text, 3, 15, 0.8)).collect::<Vec<_>>();
        odds(priors.clone(), courses(seen), courses(heard))
            - odds(Priors::default(), courses(seen), courses(heard))
    };
    let close = |found: f64, right: f64| assert!((found - right).abs() < 1e-9, "{found} for {right}");
    // The phrase's own, else its group's, else none; and none for what both senses notice.
    close(shift(&["a dog"], &[]), -2.0);
    close(shift(&["a cat"], &[]), 1.0);
    close(shift(&[], &["a dog"]), -1.0);
    close(shift(&["a person"], &[]), 0.0);
    close(shift(&["a dog"], &["a dog"]), 0.0);
}

#[test]
fn the_default_models_priors_are_of_phrases_and_groups_that_it_has() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/models/avicuna-natural"));
    let manifest = Manifest::load(dir).expect("a manifest");
    let vocabulary = Vocabulary::load(&dir.join("vocabulary.toml")).expect("a vocabulary");
    let groups: Vec<&str> = vocabulary.phrases().iter().map(|phrase| phrase.group.as_str()).collect();
    let Priors { seen, heard } = &manifest.evidence.priors;
    let unknown: Vec<&String> = seen
        .keys()
        .chain(heard.keys())
        .filter(|key| vocabulary.find(key).is_none() && !groups.contains(&key.as_str()))
        .collect();
    assert!(!seen.is_empty() && unknown.is_empty(), "{unknown:?}");
}

#[test]
fn in_a_group_of_lookalikes_only_the_surest_is_told() {
    let vocabulary = vocabulary();
    let spec = EvidenceSpec { rivals: [("animals".to_owned(), 0.9)].into(), ..EvidenceSpec::default() };
    let witness = Witness { vocabulary: &vocabulary, spec: &spec, presence: None, seconds: 20.0 };
    let heard = vec![course("a dog", 3, 15, 0.9), course("a cat", 4, 14, 0.7)];
    let claims = witness.everything(&Evidence { seen: vec![], heard });
    assert_eq!(claims.len(), 1, "{claims:?}");
}

#[test]
fn the_subject_of_a_query_answers_where_nothing_else_does_and_is_less_sure() {
    let (vocabulary, spec) = (vocabulary(), EvidenceSpec::default());
    let witness = Witness { vocabulary: &vocabulary, spec: &spec, presence: None, seconds: 20.0 };
    let [person, cat] = ["a person", "a cat"].map(|text| vocabulary.find(text).expect("it is there"));
    let label = "a woman pets a cat";
    let inquiry = Inquiry {
        asked: Asked::Ground { label: label.into() },
        text: String::new(),
        meant: vec![cat],
        subject: Some(person),
    };
    let answer = |seen: Vec<Course>| {
        both::grounded(label, &inquiry, vec![], &Evidence { seen, heard: vec![] }, &witness)
    };
    let somebody = answer(vec![course("a person", 4, 16, 0.99)]);
    assert_eq!((somebody.len(), somebody[0].start.get()), (1, 20));
    assert!((0.5..=spec.subject).contains(&somebody[0].score), "{}", somebody[0].score);
    // What is meant itself is there: its times, and as sure as ever.
    let all = answer(vec![course("a person", 4, 16, 0.99), course("a cat", 10, 16, 0.9)]);
    assert_eq!((all.len(), all[0].start.get()), (1, 50));
    assert!(all[0].score > 0.8, "{}", all[0].score);
    assert_eq!(answer(vec![]), []);
}

#[test]
fn a_query_is_answered_by_any_kind_of_what_it_means() {
    let (vocabulary, spec) = (vocabulary(), EvidenceSpec::default());
    let witness = Witness { vocabulary: &vocabulary, spec: &spec, presence: None, seconds: 20.0 };
    let evidence =
        Evidence { seen: vec![course("a cat", 2, 18, 0.8)], heard: vec![course("a dog", 4, 12, 0.5)] };
    let animal = vocabulary.find("an animal").expect("it is there");
    let asked = |label: &str, meant: &[usize]| Inquiry {
        asked: Asked::Ground { label: label.into() },
        text: String::new(),
        meant: meant.to_vec(),
        subject: None,
    };
    let found = both::grounded("a beast", &asked("a beast", &[animal]), vec![], &evidence, &witness);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].label.as_str(), found[0].modality), ("a beast", Some(Modality::Both)));
    // A dog is no cat, and what the encoders do not know is hardly believed.
    let cat = vocabulary.find("a cat").expect("it is there");
    assert_eq!(
        both::grounded("a kitten", &asked("a kitten", &[cat]), vec![], &evidence, &witness)[0].start.get(),
        10
    );
    let unknown = both::grounded(
        "a unicorn",
        &asked("a unicorn", &[]),
        vec![said("a unicorn", 10, 90, 0.97)],
        &evidence,
        &witness,
    );
    assert!(unknown[0].score < 0.2, "{}", unknown[0].score);
}
