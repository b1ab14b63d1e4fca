//! Where a repository has the parts of a released AVicuna. Pure.
//!
//! The reference writes a folder for each stage: the projectors are in those of stages 1 and 2, a LoRA in those of 3 and 4. Whatever the folders are
//! called, the parts are known by the names of their files.

/// The projectors.
const VISUAL: &str = "mm_projector.bin";
const AUDIO: &str = "mm_projector_a.bin";
/// What makes a folder a stage with a LoRA, and what belongs to it.
const LORA: &str = "adapter_config.json";
const STAGE: [&str; 4] = [LORA, "adapter_model.safetensors", "adapter_model.bin", "non_lora_trainables.bin"];

/// The paths of the parts in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The visual projector's file.
    pub visual: String,
    /// The audio projector's file.
    pub audio: String,
    /// The folders with LoRAs, in the order of their stages.
    pub stages: Vec<String>,
    /// All files of these.
    pub files: Vec<String>,
}

impl Layout {
    /// Of a repository with these files.
    ///
    /// # Errors
    /// In words, what is not there.
    pub fn of(files: &[String]) -> Result<Self, String> {
        let projector = |name: &str| {
            let mut found: Vec<&String> = files.iter().filter(|path| split(path).1 == name).collect();
            // Later stages may hold a copy of what the first have trained.
            found.sort_by_key(|path| number(split(path).0));
            found.first().map(|path| (*path).clone()).ok_or_else(|| format!("it has no {name}"))
        };
        let (visual, audio) = (projector(VISUAL)?, projector(AUDIO)?);
        let mut stages: Vec<&str> =
            files.iter().filter(|path| split(path).1 == LORA).map(|path| split(path).0).collect();
        // Checkpoints within a stage are no stages.
        stages.retain(|folder| !split(folder).1.starts_with("checkpoint-"));
        stages.sort_by_key(|folder| number(folder));
        if stages.is_empty() {
            return Err(format!("it has no folder with a LoRA, which would have {LORA}"));
        }
        let of_stage = |path: &&String| {
            let (folder, name) = split(path);
            stages.contains(&folder) && STAGE.contains(&name)
        };
        let mut wanted: Vec<String> = files.iter().filter(of_stage).cloned().collect();
        wanted.extend([visual.clone(), audio.clone()]);
        let stages = stages.into_iter().map(str::to_owned).collect();
        Ok(Self { visual, audio, stages, files: wanted })
    }
}

/// The files of a base model: its settings, its tokenizer, and its weights, as safetensors where it has them.
///
/// # Errors
/// In words, what is not there.
pub fn base_files(files: &[String]) -> Result<Vec<String>, String> {
    let of_root = |path: &&String| !path.contains('/');
    let is_tensors =
        |path: &&String| path.ends_with(".safetensors") || *path == "model.safetensors.index.json";
    let is_torch = |path: &&String| {
        path.starts_with("pytorch_model") && (path.ends_with(".bin") || path.ends_with(".bin.index.json"))
    };
    let is_setting = |path: &&String| {
        ["config.json", "generation_config.json", "special_tokens_map.json", "added_tokens.json"]
            .contains(&path.as_str())
            || path.starts_with("tokenizer")
    };
    let taken = |wanted: &dyn Fn(&&String) -> bool| -> Vec<String> {
        files.iter().filter(of_root).filter(|path| wanted(path)).cloned().collect()
    };
    let (settings, tensors) = (taken(&is_setting), taken(&is_tensors));
    let weights = if tensors.is_empty() { taken(&is_torch) } else { tensors };
    if !settings.iter().any(|path| path == "config.json") {
        return Err("it has no config.json".to_owned());
    }
    if weights.is_empty() {
        return Err("it has no weights: no *.safetensors, no pytorch_model*.bin".to_owned());
    }
    Ok([settings, weights].concat())
}

/// The folder of a path, and its last part.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The last number in a name: 3 of `avicuna-vicuna-v1-5-7b-stage3`. Names without one come last.
fn number(folder: &str) -> u64 {
    let digits = folder.rsplit(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(all: &[&str]) -> Vec<String> {
        all.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn parts_are_known_by_their_files_and_stages_by_their_numbers() {
        let released = paths(&[
            "README.md",
            "avicuna-7b-stage4/adapter_config.json",
            "avicuna-7b-stage4/adapter_model.bin",
            "avicuna-7b-stage4/non_lora_trainables.bin",
            "avicuna-7b-stage4/checkpoint-100/adapter_config.json",
            "avicuna-7b-stage4/mm_projector.bin",
            "avicuna-7b-stage3/adapter_config.json",
            "avicuna-7b-stage3/adapter_model.safetensors",
            "avicuna-7b-stage2/mm_projector_a.bin",
            "avicuna-7b-stage1/mm_projector.bin",
            "avicuna-7b-stage1/trainer_state.json",
            "clip/ViT-L-14.pt",
        ]);
        let layout = Layout::of(&released).expect("a release");
        assert_eq!(layout.visual, "avicuna-7b-stage1/mm_projector.bin");
        assert_eq!(layout.audio, "avicuna-7b-stage2/mm_projector_a.bin");
        assert_eq!(layout.stages, ["avicuna-7b-stage3", "avicuna-7b-stage4"]);
        assert_eq!(layout.files.len(), 7, "{:?}", layout.files);
        let without = |name: &str| {
            let rest: Vec<String> = released.iter().filter(|path| !path.ends_with(name)).cloned().collect();
            Layout::of(&rest).expect_err("it is not whole")
        };
        assert_eq!(without("mm_projector_a.bin"), "it has no mm_projector_a.bin");
        assert!(without("adapter_config.json").starts_with("it has no folder with a LoRA"));
    }

    #[test]
    fn a_base_is_fetched_in_one_format_only() {
        let all = paths(&[
            ".gitattributes",
            "config.json",
            "generation_config.json",
            "model-00001-of-00002.safetensors",
            "model.safetensors.index.json",
            "original/consolidated.00.pth",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model.bin.index.json",
            "tokenizer.model",
            "tokenizer_config.json",
        ]);
        let files = base_files(&all).expect("a base");
        assert!(files.iter().all(|path| !path.starts_with("pytorch") && !path.contains('/')), "{files:?}");
        assert_eq!(files.len(), 6);
        let torch: Vec<String> = all.iter().filter(|path| !path.contains("safetensors")).cloned().collect();
        assert_eq!(base_files(&torch).expect("a base").len(), 6);
        assert!(base_files(&paths(&["model.safetensors"])).expect_err("no settings").contains("config.json"));
        assert!(base_files(&paths(&["config.json"])).expect_err("no weights").contains("no weights"));
    }
}
