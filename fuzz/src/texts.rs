//! What people and the LLM write.

use std::path::Path;

use avicuna_models::answer::{Answer, AnswerToken, Finish};
use avicuna_models::manifest::Manifest;
use avicuna_pipeline::answer::{Asked, MAX_UNPARSED, Phrases, read};
use avicuna_pipeline::config::Config;

/// The LLM's answers: what is told lies in order and has a label, what is not understood is kept up to a length.
pub fn answer(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let phrases =
        Phrases { nothing: "Nothing happens.".to_owned(), absent: "It does not happen.".to_owned() };
    // A token for each character.
    let token = |(at, character): (usize, char)| AnswerToken {
        id: u32::from(character),
        logprob: -0.25,
        bytes: at..at + character.len_utf8(),
    };
    let tokens: Vec<AnswerToken> = text.char_indices().map(token).collect();
    for finish in [Finish::Stop, Finish::Length] {
        let answer = Answer { text: text.clone(), tokens: tokens.clone(), finish };
        for asked in [Asked::Detect, Asked::Ground { label: "a dog".to_owned() }] {
            let reading = read(&asked, &answer, &phrases);
            assert!(!reading.absent || reading.localizations.is_empty());
            let unparsed = reading.unparsed.iter().map(String::len).sum::<usize>();
            assert!(unparsed <= MAX_UNPARSED + '…'.len_utf8(), "{unparsed} bytes");
            for found in &reading.localizations {
                assert!(found.start <= found.end && (0.0..=1.0).contains(&found.score), "{found:?}");
                assert!(!found.label.trim().is_empty(), "{found:?}");
            }
        }
    }
}

/// A model's manifest: an error names the file.
pub fn manifest(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Err(error) = Manifest::parse(&text, Path::new("hurt/model.toml")) {
        assert!(error.to_string().contains("hurt/model.toml"), "{error}");
    }
}

/// The daemon's configuration: what was read can be written and read again, what was not has a problem.
pub fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Config::parse(&text, "hurt.toml", []) {
        Ok(loaded) => {
            let again = loaded.config.to_toml().expect("what was read can be written");
            let read = Config::parse(&again, "again.toml", []);
            assert!(read.is_ok(), "what was written cannot be read:\n{again}");
        }
        Err(error) => assert!(!error.problems.is_empty()),
    }
}
