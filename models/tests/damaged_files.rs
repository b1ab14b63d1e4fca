//! Damaged and hostile model files: always an error that names the file, never a panic, never a huge allocation.

mod golden;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use avicuna_models::checkpoint::{Released, import};
use avicuna_models::encoder::{Placement, Runtime, VisionEncoder};
use avicuna_models::llm::{Llm, Lora, LoraWeights, Precision};
use avicuna_models::manifest::{Manifest, cache_dir};
use avicuna_models::sample::RgbFrame;
use avicuna_models::tensors::read_tensors;
use avicuna_models::tokenizer::{Specials, Tokenizer};
use candle_core::Device;
use golden::{golden, read};
use proptest::prelude::*;
use proptest::test_runner::Config;

/// Remembers the largest single request for memory.
struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator's; only the size is noted.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: handed on as it came; what the caller promised is what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: handed on as it came; what the caller promised is what the system's allocator asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: handed on as it came; what the caller promised is what the system's allocator asks for.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: handed on as it came; what the caller promised is what the system's allocator asks for.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

/// More than any part of the small fixtures needs; far less than what a damaged length can ask for.
const LIMIT: usize = 256 << 20;

/// The tiny AVicuna as a GGUF file, written once.
fn gguf() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let file = |name: &str| golden("tiny_avicuna").join(name);
        let released = Released {
            base: file("base"),
            visual: file("mm_projector.bin"),
            audio: file("mm_projector_a.bin"),
            stages: vec![],
        };
        let folder = tempfile::tempdir().expect("a folder");
        let imported = import(&released).expect("the fixture is whole");
        let format = "q8_0".parse().expect("a format");
        let path = imported.write(folder.path(), "tiny", format).expect("it can be written");
        std::fs::read(path).expect("it was written")
    })
}

fn tiny(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny-model").join(name)
}

/// Loads the ONNX file at `path` as the tiny model's visual encoder and shows it a picture. What it makes of that is its own;
/// a message about a file that can be loaded need not name it.
fn see(path: &Path) -> Result<(), avicuna_models::encoder::EncoderError> {
    let runtime = Runtime::open(&cache_dir().expect("a cache"), Placement::Cpu, Some(1))?;
    let text = std::fs::read_to_string(tiny("model.toml")).expect("the manifest");
    let spec = Manifest::parse(&text, path).expect("it is right").vision.expect("it sees");
    let encoder = VisionEncoder::load(&spec, &[path.to_owned()], None, &runtime)?;
    let size = spec.input_size as usize;
    let frame = RgbFrame { width: size, height: size, aspect: 1.0, data: vec![77; size * size * 3] };
    let _embedding = encoder.encode(&[&frame]);
    Ok(())
}

/// One thing that happens to a file.
#[derive(Debug, Clone)]
enum Damage {
    /// The file ends early; in thousandths of its length.
    Cut(usize),
    /// A byte becomes another.
    Byte(usize, u8),
    /// Eight bytes become a number, as lengths and offsets are.
    Number(usize, u64),
    /// A piece is missing.
    Gap(usize, usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    // Headers are at the front of most files and at the end of zip files: most damage happens there.
    let place = prop_oneof![3 => 0usize..400, 1 => 0usize..1_000_000, 1 => (1usize..400).prop_map(|n| usize::MAX - n)];
    let number = prop_oneof![Just(1u64 << 60), Just(u64::MAX), Just(1 << 31), Just(0), any::<u64>()];
    let one = prop_oneof![
        (0usize..1000).prop_map(Damage::Cut),
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (place.clone(), number).prop_map(|(at, number)| Damage::Number(at, number)),
        (place, 1usize..64).prop_map(|(at, length)| Damage::Gap(at, length)),
    ];
    proptest::collection::vec(one, 1..4)
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        let place = |at: usize| {
            if at > usize::MAX - 400 { length - 1 - (usize::MAX - at) % length } else { at % length }
        };
        match *damage {
            Damage::Cut(thousandths) => bytes.truncate(length * thousandths / 1000),
            Damage::Byte(at, byte) => bytes[place(at)] = byte,
            Damage::Number(at, number) => {
                let at = place(at);
                let end = (at + 8).min(length);
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            Damage::Gap(at, size) => {
                let at = place(at);
                bytes.drain(at..(at + size).min(length));
            }
        }
    }
    bytes
}

/// Writes `content` and lets `read` have it: whatever it answers, errors name the file and memory stays small.
fn survives<T, E: std::fmt::Display>(
    name: &str,
    content: &[u8],
    read: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("it can be written");
    LARGEST.store(0, Ordering::Relaxed);
    let outcome = read(&path).map(drop).map_err(|e| e.to_string());
    let largest = LARGEST.load(Ordering::Relaxed);
    prop_assert!(largest < LIMIT, "{largest} bytes were asked for at once");
    if let Err(said) = outcome {
        let folder = folder.path().display().to_string();
        prop_assert!(said.contains(&folder), "the message names no file: {said}");
    }
    Ok(())
}

fn cases() -> Config {
    Config { failure_persistence: None, ..Config::with_cases(96) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn safetensors(damages in damage()) {
        let content = damaged(read("tiny_avicuna/stage3/adapter_model.safetensors"), &damages);
        survives("a.safetensors", &content, read_tensors)?;
        survives("lora.safetensors", &content, |path| {
            LoraWeights::load(&Lora { path: path.to_owned(), r: 4, alpha: 8.0 })
        })?;
    }

    #[test]
    fn a_folder_of_safetensors(damages in damage()) {
        let content = damaged(read("tiny_avicuna/base/model.safetensors"), &damages);
        survives("model.safetensors", &content, |path| {
            let folder = path.parent().expect("it lies in a folder");
            for name in ["config.json", "tokenizer.model"] {
                std::fs::copy(golden("tiny_avicuna/base").join(name), folder.join(name)).expect("copied");
            }
            Llm::load_as(folder, None, &Device::Cpu, Precision::Exact)
        })?;
    }

    #[test]
    fn torch_files(damages in damage()) {
        let content = damaged(read("tiny_avicuna/mm_projector_as_saved_by_stage1.bin"), &damages);
        survives("a.bin", &content, read_tensors)?;
    }

    #[test]
    fn gguf_files(damages in damage()) {
        survives("a.gguf", &damaged(gguf().to_vec(), &damages), |path| {
            Llm::load_as(path, None, &Device::Cpu, Precision::Exact)
        })?;
    }

    #[test]
    fn onnx_files(damages in damage()) {
        let content = std::fs::read(tiny("vision.onnx")).expect("the fixture is there");
        survives("vision.onnx", &damaged(content, &damages), see)?;
    }

    #[test]
    fn sentencepiece_vocabularies(damages in damage()) {
        let content = damaged(read("prompt/tokenizer.model"), &damages);
        survives("tokenizer.model", &content, |path| {
            let tokenizer = Tokenizer::from_sentencepiece(path)?;
            let ids = tokenizer.encode("From 03 to 17.</s> ok", Specials::Parse)?;
            tokenizer.decode(&ids);
            Ok::<_, avicuna_models::tokenizer::TokenizerError>(())
        })?;
    }

    #[test]
    fn json_vocabularies(damages in damage()) {
        let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":3,"content":"<|im_end|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":null,"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{"a":0,"b":1,"ab":2,"<|im_end|>":3},"merges":["a b"]}}"#;
        survives("tokenizer.json", &damaged(json.into(), &damages), |path| {
            let tokenizer = Tokenizer::from_json(path)?;
            tokenizer.encode("abba<|im_end|>", Specials::Parse)
        })?;
    }

    #[test]
    fn configurations(damages in damage(), which in 0usize..2) {
        let name = ["base/config.json", "stage3/adapter_config.json"][which];
        let content = damaged(read(&format!("tiny_avicuna/{name}")), &damages);
        let folder = tempfile::tempdir().expect("a folder");
        let copy = |part: &str| {
            let to = folder.path().join(part);
            std::fs::create_dir_all(&to).expect("a folder");
            for entry in std::fs::read_dir(golden("tiny_avicuna").join(part)).expect("a folder") {
                let from = entry.expect("an entry").path();
                std::fs::copy(&from, to.join(from.file_name().expect("a file"))).expect("copied");
            }
        };
        copy("base");
        copy("stage3");
        std::fs::write(folder.path().join(name), content).expect("written");
        let released = Released {
            base: folder.path().join("base"),
            visual: golden("tiny_avicuna/mm_projector.bin"),
            audio: golden("tiny_avicuna/mm_projector_a.bin"),
            stages: vec![folder.path().join("stage3")],
        };
        LARGEST.store(0, Ordering::Relaxed);
        let outcome = import(&released).and_then(|imported| imported.all());
        prop_assert!(LARGEST.load(Ordering::Relaxed) < LIMIT);
        if let Err(error) = outcome {
            let said = error.to_string();
            prop_assert!(said.contains(&folder.path().display().to_string()), "{said}");
        }
    }
}

/// A GGUF file with nothing but one key in its header.
fn header(key: &str, value: &[u8]) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(0u64.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    file.extend((key.len() as u64).to_le_bytes());
    file.extend(key.as_bytes());
    file.extend(value);
    file
}

#[test]
fn lengths_that_no_file_has() -> Result<(), TestCaseError> {
    let load = |path: &Path| Llm::load(path, None, &Device::Cpu);
    let mut huge = (1u64 << 60).to_le_bytes().to_vec();
    huge.extend(b"{}");
    survives("a.safetensors", &huge, read_tensors)?;
    let mut string = 8u32.to_le_bytes().to_vec();
    string.extend((1u64 << 60).to_le_bytes());
    survives("string.gguf", &header("general.architecture", &string), load)?;
    let mut list = 9u32.to_le_bytes().to_vec();
    list.extend(6u32.to_le_bytes());
    list.extend((1u64 << 40).to_le_bytes());
    survives("list.gguf", &header("tokenizer.ggml.scores", &list), load)?;
    let mut zero = 4u32.to_le_bytes().to_vec();
    zero.extend(0u32.to_le_bytes());
    survives("alignment.gguf", &header("general.alignment", &zero), load)
}

/// A torch file in zip format with `pickle` in it.
fn torch_file(pickle: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", stored).expect("an entry");
    zip.write_all(pickle).expect("written");
    zip.finish().expect("finished").into_inner()
}

/// Objects that would overflow the stack when they are freed, and copies that would fill every memory.
#[test]
fn pickles_that_grow_without_end() -> Result<(), TestCaseError> {
    let repeated = |start: &[u8], again: &[u8], times: usize| [start, &again.repeat(times), b"."].concat();
    let cases = [
        repeated(b"\x80\x02)", b"\x85", 5_000_000),
        repeated(b"\x80\x02]", b"](", 1_000_000),
        repeated(b"\x80\x02)", b"NR", 2_000_000),
        repeated(b"\x80\x02)q\x00", b"h\x00h\x00\x86q\x00", 64),
        repeated(b"\x80\x02}q\x00", b"h\x00h\x00sq\x00", 64),
    ];
    for pickle in cases {
        survives("deep.bin", &torch_file(&pickle), |path| {
            let read = read_tensors(path);
            assert!(
                read.as_ref().map_or(true, |tensors| tensors.is_empty()),
                "no state dictionary looks like this"
            );
            read
        })?;
    }
    Ok(())
}

#[test]
fn whole_files_are_read_by_the_same_code() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("whole.gguf");
    std::fs::write(&path, gguf())?;
    Llm::load_as(&path, None, &Device::Cpu, Precision::Exact)?;
    assert!(!read_tensors(&golden("tiny_avicuna/mm_projector_as_saved_by_stage1.bin"))?.is_empty());
    assert!(!read_tensors(&golden("tiny_avicuna/stage3/adapter_model.safetensors"))?.is_empty());
    see(&tiny("vision.onnx"))?;
    Ok(())
}
