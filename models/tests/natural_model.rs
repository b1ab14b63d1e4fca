//! The default model with the parts that `avicuna models pull` fetches: what its columns mean, and what queries in free words mean to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use avicuna_models::localizer::{LastWindow, LoadOptions, Localizer, Question, WindowInput};
use avicuna_models::sample::{AudioClip, EncodeOnce, RgbFrame};
use serde::Deserialize;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn localizer() -> &'static Localizer {
    static LOADED: LazyLock<Localizer> = LazyLock::new(|| {
        Localizer::load(&project("assets/models/avicuna-natural"), &LoadOptions::default())
            .expect("`make model` or `avicuna models pull` fetched its parts")
    });
    &LOADED
}

/// Wordings that are in no vocabulary, by a person who did not look, with what they mean, and some that mean nothing that is known.
#[derive(Deserialize)]
struct Wordings {
    means: Vec<(String, String)>,
    nothing: Vec<String>,
}

#[test]
fn queries_in_free_words_reach_the_right_phrases() {
    let text = std::fs::read(project("tests/fixtures/natural/wordings.json")).expect("the fixture");
    let Wordings { means, nothing } = serde_json::from_slice(&text).expect("JSON");
    let vocabulary = localizer().vocabulary().expect("it has one");
    let queries: Vec<&str> =
        means.iter().map(|(query, _)| query).chain(&nothing).map(String::as_str).collect();
    let meanings = localizer().meanings(&queries).expect("they can be read");
    let mut missed = Vec::new();
    for ((query, phrase), found) in means.iter().zip(&meanings) {
        let wanted = vocabulary.find(phrase).unwrap_or_else(|| panic!("{phrase} is a phrase"));
        let found = &found.phrases;
        // Who asks for a kind may be given what it is a kind of, and the other way round.
        let right = |found: usize| vocabulary.is_a(found, wanted) || vocabulary.is_a(wanted, found);
        if !found.iter().any(|meant| right(meant.phrase)) {
            let names: Vec<&str> =
                found.iter().map(|m| vocabulary.phrases()[m.phrase].text.as_str()).collect();
            missed.push(format!("{query}: {names:?}, not {phrase}"));
        }
    }
    assert!(missed.len() * 10 <= means.len(), "{} of {}: {missed:#?}", missed.len(), means.len());
    let unknown = nothing.iter().zip(&meanings[means.len()..]);
    let believed: Vec<&String> =
        unknown.filter(|(_, meaning)| !meaning.phrases.is_empty()).map(|(query, _)| query).collect();
    assert!(believed.len() * 5 <= nothing.len(), "{believed:?}");
}

#[test]
fn a_wording_of_the_vocabulary_is_its_phrase_whatever_the_case() {
    let vocabulary = localizer().vocabulary().expect("it has one");
    let queries = ["a doggy", "A Doggy.", "  a   doggy ?"];
    for (query, meaning) in queries.iter().zip(localizer().meanings(&queries).expect("they can be read")) {
        let meant = meaning.phrases;
        assert_eq!(meant.len(), 1, "{query}");
        assert_eq!(vocabulary.phrases()[meant[0].phrase].text, "a dog", "{query}");
    }
}

#[test]
fn a_window_has_an_answer_and_evidence_that_says_nothing_of_nothing() {
    let side = 300;
    let grey = RgbFrame { width: side, height: side, aspect: 1.78, data: vec![128; side * side * 3] };
    let input = WindowInput {
        visual: (0..40).map(|_| Some(Arc::new(EncodeOnce::new(grey.clone())))).collect(),
        audio: (0..40)
            .map(|_| Some(Arc::new(EncodeOnce::new(AudioClip { samples: vec![0.0; 80_000] }))))
            .collect(),
        questions: vec![Question { text: "What happens, and when?".into(), max_new_tokens: 40 }],
        last: Some(Arc::new(LastWindow::new(0.05))),
    };
    let answer = localizer().answer(std::slice::from_ref(&input)).remove(0).expect("it answers");
    // A little lighter: the encoders see the same, the language model is not asked.
    let lighter = RgbFrame { data: vec![129; side * side * 3], ..grey };
    let lighter = (0..40).map(|_| Some(Arc::new(EncodeOnce::new(lighter.clone())))).collect();
    let again = WindowInput { visual: lighter, ..input };
    let again = localizer().answer(&[again]).remove(0).expect("it answers");
    assert_eq!((answer.unchanged, again.unchanged, &again.answers), (false, true, &answer.answers));
    assert_ne!(again.evidence, answer.evidence, "what was seen is its own");
    let evidence = answer.evidence.expect("its encoders have classes");
    let highest = |courses: &[avicuna_models::evidence::Course]| {
        courses.iter().flat_map(|course| &course.slots).fold(0f32, |a, b| a.max(*b))
    };
    assert!(highest(&evidence.heard) < 0.3, "silence is {}", highest(&evidence.heard));
    assert!(evidence.seen.iter().chain(&evidence.heard).all(|course| course.slots.len() == 40));
    assert!(!answer.answers[0].text.is_empty());
}

#[test]
fn what_is_not_surely_understood_keeps_its_subject() {
    let vocabulary = localizer().vocabulary().expect("it has one");
    let subjects = |queries: &[&str]| -> Vec<Option<&str>> {
        let meanings = localizer().meanings(queries).expect("they can be read");
        meanings.iter().map(|meaning| Some(vocabulary.phrases()[meaning.subject?].text.as_str())).collect()
    };
    let people = ["two men hugging", "kids playing basketball", "a woman smiles", "people in a gym"];
    assert_eq!(subjects(&people), [Some("a person"); 4]);
    // Understood as a whole: who it is about is no answer.
    let whole =
        ["somebody is shooting", "someone sings a song", "a dog", "is anyone shouting?", "glass shatters"];
    assert_eq!(subjects(&whole), [None; 5]);
}

#[test]
fn the_recipes_name_phrases_only() {
    let vocabulary = localizer().vocabulary().expect("it has one");
    let recipe = |path: &str| -> toml::Table {
        toml::from_str(&std::fs::read_to_string(project(path)).expect("the recipe")).expect("TOML")
    };
    let mut names = Vec::new();
    let list = |clip: &toml::Value, key: &str| -> Vec<String> {
        let values = clip.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
        values.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect()
    };
    for clip in recipe("config/clips.toml")["clip"].as_array().expect("clips") {
        names.extend(list(clip, "right"));
    }
    for items in recipe("config/natural.toml").values().filter_map(toml::Value::as_array) {
        for item in items {
            names.extend(item.get("label").and_then(toml::Value::as_str).map(str::to_owned));
            names.extend(list(item, "perhaps"));
        }
    }
    assert!(names.len() > 100, "{}", names.len());
    let unknown: Vec<&String> = names.iter().filter(|name| vocabulary.find(name).is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
