//! What stage 3 leaves is what Python's `peft` loads, in the virtual environment that `scripts/setup.sh test` makes;
//! `AVICUNA_PYTHON` names another Python with torch, transformers and peft.

use std::path::Path;
use std::process::Command;

use avicuna_models::llm::{Llm, Lora, Precision};
use avicuna_trainer::stages::{Options, Signal, train};
use candle_core::Device;

mod tiny;

use tiny::{Anything, Tiny};

#[test]
fn peft_loads_what_stage_three_left() -> Anything {
    let tiny = Tiny::new()?;
    let changes =
        [("train = [\"lora\"]", "train = [\"lora\", \"vision\", \"audio\"]"), ("\"words\"", "\"random\"")];
    let out = tiny.dir().join("run");
    let options = Options { stage: 3, out: out.clone(), resume: false, steps: None };
    train(&tiny.config(&changes)?, &options, &mut |_| Signal::Continue)?;
    let stage = out.join("stage3");

    let ids: Vec<u32> = (20..60).collect();
    let text: Vec<String> = ids.iter().map(u32::to_string).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/check_peft.py");
    let python = tiny::python()?;
    let output = Command::new(&python)
        .arg(script)
        .args([tiny::base().as_os_str(), stage.as_os_str()])
        .args(["--ids", &text.join(",")])
        .output()
        .map_err(|error| format!("{}: {error}; run `make setup`", python.display()))?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<f32> = serde_json::from_slice(&output.stdout)?;

    let lora = Lora { path: stage.join("adapter_model.safetensors"), r: 4, alpha: 8.0 };
    let llm = Llm::load_as(&tiny::base(), Some(&lora), &Device::Cpu, Precision::Exact)?;
    let ours = llm.logits(&llm.embed(&ids)?)?.get(ids.len() - 1)?.to_vec1::<f32>()?;
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours - theirs).abs() < 1e-3, "{ours} {theirs}");
    }
    Ok(())
}
