//! The configurations in `config/train/`.

use std::path::Path;

use avicuna_models::manifest::Manifest;
use avicuna_trainer::stages::config::Config;

use super::tiny::Anything;

#[test]
fn the_presets_are_right_and_the_big_one_is_the_papers() -> Anything {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/train");
    let small = Config::load(&folder.join("small.toml"))?;
    assert_eq!(small.stage.len(), 4);
    let more = Config::load(&folder.join("small-more.toml"))?;
    assert_eq!(more.stage.keys().collect::<Vec<_>>(), ["3"]);
    let mut ablation = Config::load(&folder.join("ablation.toml"))?;
    assert_eq!(ablation.stage.keys().collect::<Vec<_>>(), ["1", "2", "3"]);
    ablation.learn_from(3, &["elsewhere".into()])?;
    assert_eq!(ablation.stage(3)?.data, [Path::new("elsewhere")]);
    assert!(ablation.learn_from(4, &[]).expect_err("no such stage").to_string().contains("[stage.4]"));
    let big = Config::load(&folder.join("vicuna-7b.toml"))?;
    Manifest::parse(&std::fs::read_to_string(&big.model.manifest)?, &big.model.manifest)?;
    let numbers = |stage: u8| -> Result<_, Box<dyn std::error::Error>> {
        let stage = big.stage(stage)?;
        Ok((stage.lr, stage.epochs, stage.batch, stage.accumulation, stage.warm_up, stage.max_length))
    };
    for stage in [1, 2] {
        assert_eq!(numbers(stage)?, (1e-3, 1, 16, 8, 0.03, 2048));
    }
    for stage in [3, 4] {
        assert_eq!(numbers(stage)?, (1e-4, 2, 8, 16, 0.03, 2048));
        let lora = big.stage(stage)?.lora.as_ref().ok_or("a LoRA")?;
        assert_eq!((lora.r, lora.alpha, lora.dropout), (64, 128.0, 0.05));
    }
    Ok(())
}
