//! Where parts are fetched to.

use std::path::PathBuf;
use std::process::Command;

/// A model directory and a cache; the LLM's file comes from `fetch`.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new(fetch: &str, sha256: &str) -> std::io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let dir = folder.path().join("model");
        std::fs::create_dir(&dir)?;
        std::fs::write(dir.join("audio.onnx"), "audio")?;
        std::fs::write(dir.join("adapters.safetensors"), "adapters")?;
        let place = Self { folder };
        place.write(fetch, sha256)?;
        Ok(place)
    }

    pub fn write(&self, fetch: &str, sha256: &str) -> std::io::Result<()> {
        let text = format!(
            r#"
            name = "test"
            version = 3
            licence = "Apache-2.0"
            description = "For tests"
            [window]
            seconds = 20.0
            visual_tokens = 0
            audio_tokens = 4
            [interleave]
            strategy = "even"
            [audio]
            sample_rate = 48000
            clip_seconds = 1.0
            frontend = "clap"
            dim = 8
            [audio.file]
            file = "audio.onnx"
            [prompt]
            template = "chatml"
            ground = "When {{event}}?"
            nothing = "Nothing happens."
            absent = "It does not happen."
            max_new_tokens = 8
            [llm.file]
            file = "tiny/llm.gguf"
            sha256 = "{sha256}"
            fetch = {fetch}
            [adapters]
            file = "adapters.safetensors"
            "#
        );
        std::fs::write(self.folder.path().join("model/model.toml"), text)
    }

    pub fn fetched(&self) -> PathBuf {
        self.folder.path().join("cache/models/tiny/llm.gguf")
    }

    /// Files in the cache's folder for parts.
    pub fn parts(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("cache/models/tiny")).map_or(0, Iterator::count)
    }

    /// Runs `avicuna models SUBCOMMAND`; its output, or what it said when it failed.
    pub fn run(&self, subcommand: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_avicuna"));
        command.args(["models", subcommand]).arg(self.folder.path().join("model"));
        for name in ["HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "http_proxy", "HTTP_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        command.env("AVICUNA_CACHE", self.folder.path().join("cache"));
        command.env("HF_HOME", self.folder.path().join("huggingface"));
        command.envs(environment.iter().copied());
        let output = command.output().expect("the program starts");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}
