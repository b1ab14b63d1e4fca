//! Readers under random damage: `fuzz/README.md`. `FUZZ_SECONDS` for each target, 2 without; `FUZZ_SEED` for other damage.

#[path = "../fuzz/mutate.rs"]
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use avicuna_models::answer::{Answer, AnswerToken, Finish};
use avicuna_models::checkpoint::{Released, import};
use avicuna_models::llm::{Llm, Precision};
use avicuna_models::manifest::Manifest;
use avicuna_models::tensors::read_tensors;
use avicuna_pipeline::answer::{Asked, MAX_UNPARSED, Phrases, read};
use avicuna_pipeline::config::Config;
use avicuna_pipeline::source::pat::{Table, Tables};
use avicuna_pipeline::source::rtcp::{at_rtp, sender_report};
use avicuna_pipeline::source::uri::Address;
use candle_core::Device;
use mutate::Mutator;

/// Reads the corpus of `target` and `seeds` as they are, then as long as there is time what the mutator makes of them.
fn fuzz(target: &str, seeds: Vec<Vec<u8>>, words: &[&str], mut reads: impl FnMut(&[u8])) {
    let corpus = repository("fuzz/corpus").join(target);
    let mut seeds = seeds;
    for entry in std::fs::read_dir(&corpus).into_iter().flatten() {
        seeds.push(bytes(entry.expect("an entry").path()));
    }
    assert!(!seeds.is_empty(), "{target} has nothing to begin with");
    let mut watched = |input: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| reads(input))).is_err() {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fuzz");
            std::fs::create_dir_all(&folder).expect("a folder");
            let path = folder.join(format!("{target}-{}", std::process::id()));
            std::fs::write(&path, input).expect("written");
            panic!("{target} fails on {}; put it into {}", path.display(), corpus.display());
        }
    };
    seeds.iter().for_each(|seed| watched(seed));
    let number = |name: &str, usual: u64| {
        std::env::var(name)
            .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    };
    let (begun, budget) = (Instant::now(), Duration::from_secs(number("FUZZ_SECONDS", 2)));
    let mut mutator = Mutator::new(number("FUZZ_SEED", 1), words);
    let mut inputs = 0u64;
    while begun.elapsed() < budget {
        watched(&mutator.damaged(&seeds));
        inputs += 1;
    }
    println!("{target}: {inputs} inputs of {} seeds", seeds.len());
    assert!(inputs > 0);
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

fn files(paths: &[&str]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| bytes(repository(path))).collect()
}

#[test]
fn answers() {
    let words = [
        "From ",
        " to ",
        " and ",
        ", heard",
        ", seen",
        "seen and heard",
        "Nothing happens.",
        ".",
        "99",
        "00",
        "😀",
        "\u{300}",
    ];
    let phrases =
        Phrases { nothing: "Nothing happens.".to_owned(), absent: "It does not happen.".to_owned() };
    fuzz("answer", Vec::new(), &words, |input| {
        let text = String::from_utf8_lossy(input).into_owned();
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
                assert!(
                    reading.unparsed.iter().map(String::len).sum::<usize>() <= MAX_UNPARSED + '…'.len_utf8()
                );
                for found in &reading.localizations {
                    assert!(found.start <= found.end && (0.0..=1.0).contains(&found.score), "{found:?}");
                    assert!(!found.label.trim().is_empty(), "{found:?}");
                }
            }
        }
    });
}

#[test]
fn manifests() {
    let seeds = files(&[
        "tests/fixtures/tiny-model/model.toml",
        "assets/models/avicuna-small/model.toml",
        "assets/models/avicuna-natural/model.toml",
        "config/train/vicuna-7b.model.toml",
    ]);
    let words = [
        "[llm]",
        "[[vision.part]]",
        "seconds",
        "0",
        "-1",
        "1e308",
        "nan",
        "18446744073709551615",
        "\"\"",
        "../",
        "true",
    ];
    fuzz("manifest", seeds, &words, |input| {
        let text = String::from_utf8_lossy(input);
        if let Err(error) = Manifest::parse(&text, Path::new("hurt/model.toml")) {
            assert!(error.to_string().contains("hurt/model.toml"), "{error}");
        }
    });
}

#[test]
fn configurations() {
    let seeds = files(&["config/avicuna.toml", "config/demo.toml"]);
    let words = [
        "[[stream]]",
        "uri = \"",
        "://",
        "@",
        "0s",
        "-1s",
        "1e30s",
        "99999999999999999999h",
        "nan",
        "[sink.kafka]",
        "\u{0}",
        "{}",
        "[]",
    ];
    fuzz("config", seeds, &words, |input| {
        let text = String::from_utf8_lossy(input);
        match Config::parse(&text, "hurt.toml", []) {
            Ok(loaded) => {
                let again = loaded.config.to_toml().expect("what was read can be written");
                assert!(
                    Config::parse(&again, "again.toml", []).is_ok(),
                    "what was written cannot be read:\n{again}"
                );
            }
            Err(error) => assert!(!error.problems.is_empty()),
        }
    });
}

/// The tiny AVicuna's files.
fn golden(name: &str) -> PathBuf {
    repository("tests/fixtures/golden/tiny_avicuna").join(name)
}

#[test]
fn pickles() {
    let seeds = ["mm_projector.bin", "stage4/non_lora_trainables.bin", "stage3/adapter_model.bin"];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hurt.bin");
    fuzz(
        "pickle",
        seeds.map(|seed| bytes(golden(seed))).to_vec(),
        &["PK\x01\x02", "PK\x05\x06", "data.pkl", "ctorch\n"],
        |input| {
            std::fs::write(&path, input).expect("written");
            if let Err(error) = read_tensors(&path) {
                assert!(error.to_string().contains("hurt.bin"), "{error}");
            }
        },
    );
}

#[test]
fn gguf_files() {
    let released = Released {
        base: golden("base"),
        visual: golden("mm_projector.bin"),
        audio: golden("mm_projector_a.bin"),
        stages: Vec::new(),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let whole = import(&released)
        .and_then(|imported| imported.write(folder.path(), "tiny", "q8_0".parse().expect("a format")));
    let path = folder.path().join("hurt.gguf");
    let words = ["llama.", "block_count", "general.alignment", "GGUF", "tokenizer.ggml."];
    fuzz("gguf", vec![bytes(whole.expect("the fixture is whole"))], &words, |input| {
        std::fs::write(&path, input).expect("written");
        if let Err(error) = Llm::load_as(&path, None, &Device::Cpu, Precision::Exact) {
            assert!(error.to_string().contains("hurt.gguf"), "{error}");
        }
    });
}

#[test]
fn boxes_of_mp4_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hurt.mp4");
    let address = Address::parse(path.to_str().expect("UTF-8")).expect("a path");
    fuzz("mp4", Vec::new(), &["ftyp", "moov", "mdat", "free", "\0\0\0\x01", "\0\0\0\0"], |input| {
        std::fs::write(&path, input).expect("written");
        if let Err(failure) = address.check() {
            assert!(failure.message.contains("hurt.mp4"), "{failure}");
        }
    });
}

#[test]
fn sender_reports() {
    let words = ["\0\0\0\0", "\0\x06", "\x7f"];
    fuzz("rtcp", Vec::new(), &words, |input| {
        let Some((_sender, report)) = sender_report(input) else { return };
        assert!(input.len() >= 20, "it is read from {} bytes", input.len());
        // 32 bits of seconds from 1900 on.
        assert!(
            (-2_208_988_800..=2_085_978_496).contains(&report.utc.div_euclid(1_000_000_000)),
            "{report:?}"
        );
        for rtp in [0, report.rtp, report.rtp.wrapping_add(1 << 31), u32::MAX] {
            let utc = at_rtp(report, rtp, 1);
            assert!(utc.abs_diff(report.utc) <= (1 << 31) * 1_000_000_000, "{report:?} at {rtp}: {utc}");
        }
    });
}

#[test]
fn tables_of_transport_streams() {
    let words = ["G@\0\x10\0\0", "G", "\0\x02", "\0\0"];
    fuzz("pat", Vec::new(), &words, |input| {
        let mut all = Vec::new();
        let mut tables = Tables::default();
        tables.read(input, |table| all.push(table));
        let mut programs = Vec::new();
        for table in &all {
            match table {
                Table::Association(numbers) => {
                    assert!(numbers.len() <= 42 && !numbers.contains(&0), "{table:?}");
                    programs.clone_from(numbers);
                }
                Table::Map(number) => assert!(programs.contains(number), "{table:?} of {programs:?}"),
            }
        }
        let (mut tables, mut pieces) = (Tables::default(), Vec::new());
        input.chunks(97).for_each(|piece| tables.read(piece, |table| pieces.push(table)));
        assert_eq!(pieces, all, "in pieces it is another one");
    });
}
