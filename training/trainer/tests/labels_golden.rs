//! The labels of conversations against those of the reference: `AVICUNA_GOLDEN`, or the fixtures.

#[path = "../../../models/tests/golden/mod.rs"]
mod golden;

use avicuna_models::prompt::Template;
use avicuna_models::tokenizer::{Specials, Tokenizer};
use avicuna_trainer::labels::{Fidelity, LabelError, Supervised, Token, supervise};
use golden::{golden, json};

type Anything<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn tokenizer(legacy: bool) -> Anything<Tokenizer> {
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("tokenizer.model");
    std::fs::copy(golden("prompt/tokenizer.model"), &model)?;
    std::fs::write(folder.path().join("tokenizer_config.json"), format!("{{\"legacy\": {legacy}}}"))?;
    Ok(Tokenizer::from_sentencepiece(&model)?)
}

/// As the reference writes it: -200 for the video, -100 where nothing is learned.
fn numbers(supervised: &Supervised) -> (Vec<i64>, Vec<i64>) {
    let token = |token: &Token| match token {
        Token::Text(id) => i64::from(*id),
        Token::Video => -200,
    };
    let label = |label: &Option<u32>| label.map_or(-100, i64::from);
    (supervised.tokens.iter().map(token).collect(), supervised.labels.iter().map(label).collect())
}

#[test]
fn labels_are_the_references_and_mended_ones_differ_only_where_it_fails() -> Anything {
    let golden = json("prompt/prompt.json");
    let (mut compared, mut masked) = (0, 0);
    for legacy in [true, false] {
        let tokenizer = tokenizer(legacy)?;
        for (name, case) in golden["labels"][format!("legacy_{legacy}")].as_object().expect("cases") {
            let turns: Vec<String> = serde_json::from_value(case["messages"].clone())?;
            let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
            let template = if name.starts_with("v1") { Template::VicunaV1 } else { Template::Plain };
            let reference = supervise(template, &tokenizer, &turns, Fidelity::Reference);
            let mended = supervise(template, &tokenizer, &turns, Fidelity::Mended);
            // Quirk (b): `plain` takes two turns, with `<video>`.
            if case["error"].is_string() {
                assert!(matches!(reference, Err(LabelError::Turns(_))), "{name}");
                assert!(matches!(mended, Err(LabelError::Turns(_))), "{name}");
                continue;
            }
            let ids: Vec<i64> = serde_json::from_value(case["input_ids"].clone())?;
            let labels: Vec<i64> = serde_json::from_value(case["labels"].clone())?;
            assert_eq!(numbers(&reference?), (ids.clone(), labels.clone()), "{name}, legacy {legacy}");
            compared += 1;
            // Quirk (h): the second `<video>` has no features.
            if turns.concat().matches("<video>").count() > 1 && template == Template::VicunaV1 {
                assert!(mended.is_err_and(|e| e.to_string().contains("more than one <video>")), "{name}");
                continue;
            }
            let (mended_ids, mended_labels) = numbers(&mended?);
            if turns.concat().contains("</s>") {
                // Quirk (e): a text that names the end of an answer ends nothing, and is learned from.
                let names_it = turns[1].contains("</s>");
                let ends = mended_ids.iter().filter(|id| **id == 2).count();
                assert_eq!(ends, usize::from(template == Template::VicunaV1), "{name}");
                assert!(names_it && mended_labels.iter().any(|label| *label != -100), "{name}");
                masked += usize::from(template == Template::VicunaV1);
            } else {
                assert_eq!((mended_ids, mended_labels), (ids, labels), "{name}, legacy {legacy}");
            }
        }
    }
    assert!(compared > 0 && masked > 0, "{compared} compared, {masked} masked by the reference");
    Ok(())
}

/// Quirk (e): an empty answer takes the labels of all others with it in the reference.
#[test]
fn an_empty_answer_teaches_nothing_and_harms_nobody() -> Anything {
    let tokenizer = tokenizer(false)?;
    let turns = ["<video>\nWhat happens?", "", "And then?", "A dog barks."];
    let learned = |fidelity| -> Result<usize, LabelError> {
        let labels = supervise(Template::VicunaV1, &tokenizer, &turns, fidelity)?.labels;
        Ok(labels.iter().flatten().count())
    };
    assert_eq!(learned(Fidelity::Reference)?, 0);
    let answer = tokenizer.encode(" A dog barks.", Specials::AsText)?.len();
    assert!(learned(Fidelity::Mended)? >= answer.min(4));
    let alone = supervise(Template::VicunaV1, &tokenizer, &turns[..2], Fidelity::Mended)?;
    assert!(alone.labels.iter().all(Option::is_none));
    Ok(())
}
