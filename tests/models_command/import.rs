//! `import` of the released checkpoints, from folders and from a hub.

use std::path::Path;
use std::process::Command;

use super::Anything;
use super::server::{Behaviour, Server};

#[test]
fn the_released_checkpoints_become_a_model_directory() -> Anything {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/tiny_avicuna");
    let out = tempfile::tempdir()?;
    let import = |weights: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_avicuna"));
        command.args(["models", "import", "--weights", weights]);
        command.arg("--base").arg(tiny.join("base"));
        command.arg("--visual").arg(tiny.join("mm_projector_as_saved_by_stage1.bin"));
        command.arg("--audio").arg(tiny.join("mm_projector_a.bin"));
        command.arg("--stage").arg(tiny.join("stage3")).arg("--stage").arg(tiny.join("stage4"));
        command.arg(out.path().join(weights)).output()
    };
    for (weights, llm) in [("bf16", "llm/model.safetensors"), ("q8_0", "llm.gguf")] {
        let output = import(weights)?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("avicuna-7b@1") && said.contains("clip-vit-l14.onnx"), "{said}");
        assert!(out.path().join(weights).join(llm).exists());
        assert!(out.path().join(weights).join("model.toml").exists());
    }
    let refused = import("q3")?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("q4_0"));
    Ok(())
}

/// All files below a folder, by their paths in it.
fn files(folder: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path)?.into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.push((name, std::fs::read(&path)?));
        }
    }
    Ok(found)
}

/// A repository of the hub as it answers: its list, and each file at the commit.
fn published(repo: &str, files: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let siblings: Vec<_> = files.iter().map(|(path, _)| serde_json::json!({ "rfilename": path })).collect();
    let list = serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string();
    let at = |(path, bytes): &(String, Vec<u8>)| (format!("/{repo}/resolve/{COMMIT}/{path}"), bytes.clone());
    let listed = [(format!("/api/models/{repo}/revision/main"), list.into_bytes())];
    listed.into_iter().chain(files.iter().map(at)).collect()
}

#[test]
fn a_release_on_the_hub_becomes_the_same_model_directory_in_one_command() -> Anything {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/tiny_avicuna");
    let named = |name: &str, folder: &str| -> std::io::Result<Vec<(String, Vec<u8>)>> {
        Ok(files(&tiny.join(folder))?
            .into_iter()
            .map(|(path, bytes)| (format!("{name}/{path}"), bytes))
            .collect())
    };
    let mut release = [named("tiny-stage3", "stage3")?, named("tiny-stage4", "stage4")?].concat();
    release.push((
        "tiny-stage1/mm_projector.bin".into(),
        std::fs::read(tiny.join("mm_projector_as_saved_by_stage1.bin"))?,
    ));
    release.push(("tiny-stage2/mm_projector_a.bin".into(), std::fs::read(tiny.join("mm_projector_a.bin"))?));
    release.push(("clip/ViT-L-14.pt".into(), b"not wanted".to_vec()));
    let answers =
        [published("somebody/avicuna", &release), published("somebody/base", &files(&tiny.join("base"))?)];
    let server = Server::start(Behaviour {
        files: answers.concat().into_iter().collect(),
        cuts: 2,
        cut_after: 1000,
        ..Behaviour::default()
    })?;
    let place = tempfile::tempdir()?;
    let import = |out: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_avicuna"));
        command.args(["models", "import", "--weights", "q8_0"]).args(more).arg(place.path().join(out));
        command.env("HF_ENDPOINT", &server.address).env("HF_HOME", place.path().join("hf"));
        command.env("AVICUNA_CACHE", place.path().join("cache")).env_remove("HF_TOKEN");
        command.output()
    };
    let from_hub = ["--hub", "somebody/avicuna", "--base", "hub:somebody/base"];
    let output = import("hub", &from_hub)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [base, visual, audio, stage3, stage4] =
        ["base", "mm_projector_as_saved_by_stage1.bin", "mm_projector_a.bin", "stage3", "stage4"]
            .map(|name| tiny.join(name).to_string_lossy().into_owned());
    let from_folders =
        ["--base", &base, "--visual", &visual, "--audio", &audio, "--stage", &stage3, "--stage", &stage4];
    assert!(import("folders", &from_folders)?.status.success());
    assert_eq!(files(&place.path().join("hub"))?.len(), 3);
    for (name, bytes) in files(&place.path().join("folders"))? {
        assert_eq!(std::fs::read(place.path().join("hub").join(&name))?, bytes, "{name}");
    }
    let asked =
        |server: &Server| server.downloads().iter().map(|request| request.path.clone()).collect::<Vec<_>>();
    assert!(asked(&server).iter().all(|path| !path.contains("ViT")), "{:?}", asked(&server));
    // What was fetched is there.
    let before = asked(&server).len();
    assert!(import("again", &from_hub)?.status.success());
    assert_eq!(asked(&server).len(), before + 2, "only the lists are asked for");

    let said = |more: &[&str]| -> std::io::Result<String> {
        let output = import("wrong", more)?;
        assert!(!output.status.success());
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let base_only = said(&["--hub", "somebody/base"])?;
    assert!(
        base_only.contains("somebody/base@main on the hub cannot be imported: it has no mm_projector.bin"),
        "{base_only}"
    );
    let nobody = said(&["--hub", "nobody/nothing"])?;
    assert!(nobody.contains("there is no such repository, revision `main` or file"), "{nobody}");
    let both = said(&["--hub", "somebody/avicuna", "--visual", "a.bin"])?;
    assert!(both.contains("cannot be used with"), "{both}");
    server.change(|now| now.status = Some(401));
    let refused = said(&["--hub", "somebody/avicuna", "--base", "hub:somebody/base"])?;
    assert!(refused.contains("accept the model's licence on its page"), "{refused}");
    Ok(())
}
