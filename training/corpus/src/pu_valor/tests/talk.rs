//! Dialogues, records, annotations and queries.

use avicuna_models::answer::{Answer, AnswerToken, Finish};
use avicuna_pipeline::answer::{Asked, Phrases, read};
use proptest::prelude::*;

use super::dialogue::{Dialogue, Kind, Style, small};
use super::record::{BACKGROUND, Record, Speaker};
use super::*;
use crate::seeded;

/// Some videos with their dialogues.
fn talks(
    scaling: &Scaling,
    labels: bool,
    style: Style,
    seed: u64,
) -> Result<Vec<(Timeline, Vec<Dialogue>)>, PuValorError> {
    let (clips, clusters) = clips(2, 8, labels);
    let sources = Sources::new(&clips, &clusters.clusters)?;
    let sizes = Sizes::paper(Span::new(3, 8))?;
    let groups = groups::draw(&sources, &clusters.clusters, &sizes, Some(4), seed)?;
    let mut talks = Vec::new();
    for group in groups {
        for variant in 0..4 {
            let video = timeline(&group, variant, &sources, scaling, seed)?;
            let talk = dialogue::write(&video, &sources, style, 4, &mut seeded::rng(seed, &video.id));
            talks.push((video, talk));
        }
    }
    Ok(talks)
}

/// What the reference's loader makes of a record: the rows of each sub-clip, and the conversation with its tokens replaced.
/// Written from the description of its reading rule alone.
fn reference_reads(record: &serde_json::Value) -> (Vec<(String, i64)>, Vec<String>) {
    let meta = &record["meta"];
    let duration = meta["duration"].as_f64().expect("a number");
    let ids = meta["sub_videos"].as_array().expect("a list").iter().map(|id| id.as_str().expect("a text"));
    let rows = meta["scale"].as_array().expect("a list").iter().map(|scale| {
        let scale = scale.as_f64().expect("a number");
        (scale * 10.0) as i64
    });
    let digits = |seconds: f64| {
        let hundredth = (seconds / duration * 100.0).round_ties_even().min(99.0);
        format!("{:0>2}", hundredth.to_string())
    };
    let tokens = meta["token"].as_object().expect("a table");
    let texts = record["conversations"].as_array().expect("a list").iter().map(|turn| {
        let mut text = turn["value"].as_str().expect("a text").to_owned();
        for (token, seconds) in tokens {
            text = text.replace(token, &digits(seconds.as_f64().expect("a number")));
        }
        text
    });
    (ids.map(str::to_owned).zip(rows).collect(), texts.collect())
}

#[test]
fn the_reading_rule_is_the_references() -> Result<(), Box<dyn std::error::Error>> {
    let golden = std::env::var_os("AVICUNA_GOLDEN").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden"),
        Into::into,
    );
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(golden.join("resample.json"))?)?;
    for case in golden["time"].as_array().expect("a list") {
        let (duration, seconds) = (&case[0], &case[1]);
        if seconds.as_f64().is_some_and(|seconds| seconds < 0.0) {
            continue;
        }
        let record = serde_json::json!({
            "conversations": [{"from": "gpt", "value": "<s0>"}],
            "meta": {"duration": duration, "token": {"<s0>": seconds}, "sub_videos": [], "scale": []},
        });
        assert_eq!(reference_reads(&record).1[0], case[2].as_str().expect("a text"), "{case}");
    }
    for case in golden["scale_to_len"].as_array().expect("a list") {
        let record = serde_json::json!({
            "conversations": [],
            "meta": {"duration": 1.0, "token": {}, "sub_videos": ["x"], "scale": [case[0]]},
        });
        assert_eq!(reference_reads(&record).0, [("x".to_owned(), case[1].as_i64().expect("a number"))]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_references_loader_finds_every_sub_clip_where_it_is(seed: u64, extra: bool) {
        let scaling = if extra { everything() } else { Scaling::paper() };
        for (video, talk) in talks(&scaling, false, Style::Paper, seed)? {
            let record = Record::new(&video, &talk);
            let json = serde_json::to_value(&record).expect("records serialise");
            prop_assert_eq!(&json["source"], "pseudo-valor");
            let back: Record = serde_json::from_value(json.clone()).expect("what is written can be read");
            prop_assert_eq!(&back, &record);
            let (parts, texts) = reference_reads(&json);
            prop_assert_eq!(parts.iter().map(|part| part.1).sum::<i64>(), video.duration as i64);
            if video.overlaps() {
                prop_assert_eq!(parts, [(video.id.clone(), video.duration as i64)]);
            } else {
                let mut at = 0;
                let mut clips = video.segments.iter();
                for (id, rows) in parts {
                    if id != BACKGROUND {
                        let segment = clips.next().expect("as many clips as segments");
                        prop_assert_eq!((&id, at as f64), (&segment.clip, segment.start));
                        prop_assert_eq!((at + rows) as f64, segment.end);
                    }
                    at += rows;
                }
                prop_assert!(clips.next().is_none());
            }
            let spoken: Vec<String> = record.spoken().into_iter().map(|turn| turn.value).collect();
            prop_assert_eq!(&texts, &spoken);
            prop_assert!(texts.iter().skip(1).all(|text| !text.contains('<')), "{texts:?}");
            prop_assert!(texts[0].starts_with("<video>\n"));
            let speakers: Vec<Speaker> = record.conversations.iter().map(|turn| turn.from).collect();
            prop_assert_eq!(speakers, [Speaker::Human, Speaker::Gpt].repeat(4));
        }
    }

    #[test]
    fn grounding_answers_name_every_time_and_nothing_else(seed: u64) {
        for (video, talk) in talks(&everything(), true, Style::Paper, seed)? {
            prop_assert_eq!(talk.len(), 4);
            prop_assert!(matches!(talk[0].kind, Kind::Single | Kind::Multi));
            for Dialogue { kind, question, answer } in &talk {
                let times = answer.matches("<s").count();
                match kind {
                    Kind::Single => prop_assert_eq!(times, 1),
                    Kind::Multi => prop_assert!(times > 1),
                    Kind::Absent | Kind::Caption => prop_assert_eq!(times, 0),
                    Kind::Dense => prop_assert_eq!(times, video.segments.len()),
                    Kind::Order | Kind::Duration => prop_assert!(times <= 1),
                }
                let filled = !question.contains('{') && !answer.contains('{');
                prop_assert!(filled, "{question} {answer}");
                prop_assert!(answer.ends_with('.'));
            }
        }
    }

    #[test]
    fn the_daemon_reads_every_answer_of_the_small_set(seed: u64) {
        let phrases = Phrases { nothing: small::NOTHING.into(), absent: small::ABSENT.into() };
        for (video, talk) in talks(&everything(), true, Style::Small, seed)? {
            let record = Record::new(&video, &talk);
            for (dialogue, turns) in talk.iter().zip(record.spoken().chunks(2)) {
                let text = turns[1].value.clone();
                let tokens = vec![AnswerToken { id: 0, logprob: -0.1, bytes: 0..text.len() }];
                let answer = Answer { text, tokens, finish: Finish::Stop };
                let asked = match dialogue.kind {
                    Kind::Dense => Asked::Detect,
                    _ => Asked::Ground { label: "it".into() },
                };
                let reading = read(&asked, &answer, &phrases);
                prop_assert!(reading.unparsed.is_empty(), "{}: {:?}", answer.text, reading);
                prop_assert_eq!(reading.absent, dialogue.kind == Kind::Absent);
                let told = answer.text.matches("rom ").count();
                prop_assert_eq!(reading.localizations.len(), told);
                prop_assert!(reading.localizations.iter().all(|found| found.modality.is_some()));
            }
        }
    }

    #[test]
    fn queries_ask_for_every_event_and_for_some_that_are_not_there(seed: u64) {
        let (clips, clusters) = clips(2, 8, true);
        let sources = Sources::new(&clips, &clusters.clusters)?;
        for (video, _) in talks(&everything(), true, Style::Small, seed)? {
            let queries = queries::ask(&video, &sources, 2, &mut seeded::rng(seed, "queries"));
            let mut told = 0;
            for query in &queries {
                let own: Vec<_> =
                    video.segments.iter().filter(|segment| segment.event() == query.label).collect();
                prop_assert_eq!(own.len(), query.segments.len());
                told += own.len();
                let kind = match own.len() {
                    0 => queries::Kind::Absent,
                    1 => queries::Kind::Single,
                    _ => queries::Kind::Multi,
                };
                prop_assert_eq!(query.kind, kind);
                prop_assert!(query.question.contains(&query.label));
            }
            prop_assert_eq!(told, video.segments.len());
        }
    }
}

#[test]
fn the_small_set_speaks_as_the_small_model_was_taught() -> Result<(), PuValorError> {
    let told = |start: &str, end: &str, event: &str, modality| small::Told {
        start: start.into(),
        end: end.into(),
        event: event.into(),
        modality,
    };
    let both = told("20", "55", "a dog", Modality::Both);
    let heard = told("60", "80", "a violin", Modality::Audio);
    assert_eq!(
        small::detect_answer(&[both.clone(), heard.clone()]),
        "From 20 to 55, a dog, seen and heard. From 60 to 80, a violin, heard."
    );
    assert_eq!(
        small::ground_answer(&[both, told("57", "99", "a dog", Modality::Audio)]),
        "From 20 to 55, seen and heard, and from 57 to 99, heard."
    );
    assert_eq!(small::detect_answer(&[]), "Nothing happens.");
    assert_eq!(small::ground_answer(&[]), "It does not happen.");
    for (_, talk) in talks(&Scaling::packaged(), true, Style::Small, 1)? {
        assert_eq!(talk.len(), 4);
        assert_eq!(talk[0].question, "What happens, and when?");
        assert_eq!(talk.iter().filter(|dialogue| dialogue.kind == Kind::Absent).count(), 1);
    }
    Ok(())
}

#[test]
fn all_kinds_of_dialogues_are_written() -> Result<(), PuValorError> {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..4 {
        for (_, talk) in talks(&Scaling::packaged(), false, Style::Paper, seed)? {
            kinds.extend(talk.iter().map(|dialogue| dialogue.kind));
        }
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    Ok(())
}

#[test]
fn captions_become_parts_of_sentences_and_sentences() {
    let phrase = caption::phrase;
    assert_eq!(phrase("A man  plays the guitar."), "a man plays the guitar");
    assert_eq!(phrase("Anna sings!"), "Anna sings");
    assert_eq!(phrase(" The end </s> of <s0> it. "), "the end /s of s0 it");
    assert_eq!(caption::sentence("élan is shown"), "Élan is shown.");
    assert_eq!(caption::sentence("Is it?"), "Is it?");
    assert_eq!(caption::sentence("  "), "");
}

#[test]
fn annotations_number_all_labels_of_the_catalogue() -> Result<(), PuValorError> {
    let (clips, clusters) = clips(2, 4, true);
    let sources = Sources::new(&clips, &clusters.clusters)?;
    let group = Group { id: "g".into(), clips: clusters.clusters[1].clone() };
    let video = timeline(&group, 0, &sources, &Scaling::paper(), 0)?;
    let annotated = annotations::Labels::of(&clips).annotate(&video, Split::Test);
    assert_eq!(annotated.annotations.len(), 4);
    for (annotation, segment) in annotated.annotations.iter().zip(&video.segments) {
        assert_eq!(annotation.segment, [segment.start, segment.end]);
        assert_eq!(annotation.label, format!("a thing {}", annotation.label_id));
        assert_eq!(annotation.modality, segment.modality);
    }
    let json = serde_json::to_value(&annotated).expect("annotations serialise");
    assert_eq!(json["subset"], "test");
    Ok(())
}
