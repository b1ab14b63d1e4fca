//! Whether a manifest's values make sense, each by itself and together.

use std::path::{Component, Path};

use super::{
    AudioFrontend, EVENT, Fetch, FileRef, Fit, Manifest, OutputSpec, ScaleSpec, StrategyName,
    VisionPreprocess, WindowSpec,
};
use crate::vocabulary::Classes;

/// Which parts of a sample are encoded is kept in the bits of one number.
const MOST_PARTS: usize = 32;

impl Manifest {
    /// The first key whose value makes no sense, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let WindowSpec { seconds, visual_tokens, audio_tokens } = self.window;
        positive("window.seconds", seconds, 86_400.0)?;
        if self.vision.is_none() && self.audio.is_none() {
            return Err(("vision", "and [audio] are both missing: a model sees or hears".into()));
        }
        tokens("window.visual_tokens", visual_tokens, "vision", self.vision.is_some())?;
        tokens("window.audio_tokens", audio_tokens, "audio", self.audio.is_some())?;
        if let Some(vision) = &self.vision {
            within("vision.input_size", vision.input_size as usize, 4096)?;
            within("vision.dim", vision.dim, 1 << 20)?;
            for part in &vision.parts {
                within("vision.input_size", part.input_size as usize, 4096)?;
                match (vision.fit, part.preprocess) {
                    (Fit::Stretch, VisionPreprocess::Scale(scale) | VisionPreprocess::Letterbox(scale)) => {
                        check_scale(&scale)?
                    }
                    (Fit::Crop, VisionPreprocess::Clip(_)) => {}
                    _ => {
                        let reason = "does not go with `vision.preprocess`: \"stretch\" takes `scale` or `letterbox`, \"crop\" takes `clip`";
                        return Err(("vision.fit", reason.into()));
                    }
                }
            }
        }
        if let Some(audio) = &self.audio {
            within("audio.dim", audio.dim, 1 << 20)?;
            positive("audio.clip_seconds", audio.clip_seconds, 600.0)?;
            if audio.parts.iter().any(|part| part.frontend == AudioFrontend::Clap) {
                if audio.sample_rate != 48_000 {
                    return Err(("audio.sample_rate", "is 48000 with the `clap` front end".into()));
                }
                // Reflection at the ends needs more than half a Fourier window.
                if audio.clip_samples() <= 512 {
                    return Err((
                        "audio.clip_seconds",
                        "is less than 513 samples, one Fourier window".into(),
                    ));
                }
            }
            if !(4_000..=192_000).contains(&audio.sample_rate) {
                let reason = format!("is {}; it must be between 4000 and 192000", audio.sample_rate);
                return Err(("audio.sample_rate", reason));
            }
            let heard = audio.parts.iter().map(|part| audio.part_samples(part));
            if heard.clone().any(|samples| samples == 0 || samples > audio.clip_samples()) {
                return Err(("audio.parts", "have `seconds` that are not within those of a clip".into()));
            }
            if audio.clip_samples() == 0 {
                return Err(("audio.clip_seconds", "is less than one sample".into()));
            }
        }
        check_outputs("vision.parts", &self.outputs(true), self.vision.as_ref().map(|vision| vision.dim))?;
        check_outputs("audio.parts", &self.outputs(false), self.audio.as_ref().map(|audio| audio.dim))?;
        let outputs = [self.outputs(true), self.outputs(false)].concat();
        match (outputs.iter().any(|output| output.classes.is_some()), &self.vocabulary) {
            (true, None) => {
                return Err(("vocabulary", "is missing; a part with `classes` needs its words".into()));
            }
            (false, Some(_)) => {
                return Err(("vocabulary", "is of no use: no part has `classes`".into()));
            }
            _ => {}
        }
        if self.wording.is_some() && self.vocabulary.is_none() {
            return Err(("wording", "is of no use without a vocabulary".into()));
        }
        match (self.interleave.strategy, self.interleave.stamp_every_slots) {
            (StrategyName::Timestamped, Some(slots)) => {
                within("interleave.stamp_every_slots", slots, 10_000)?
            }
            (StrategyName::Timestamped, None) => {
                return Err(("interleave.stamp_every_slots", "is missing; \"timestamped\" needs it".into()));
            }
            (_, Some(_)) => {
                return Err(("interleave.stamp_every_slots", "belongs to \"timestamped\" only".into()));
            }
            (_, None) => {}
        }
        if !self.prompt.ground.contains(EVENT) {
            return Err((
                "prompt.ground",
                format!("must contain {EVENT}, which stands for what is looked for"),
            ));
        }
        if self.prompt.min_query_score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
            return Err(("prompt.min_query_score", "must be from 0 to 1".into()));
        }
        if self.prompt.min_score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
            return Err(("prompt.min_score", "must be from 0 to 1".into()));
        }
        within("prompt.max_new_tokens", self.prompt.max_new_tokens, 1 << 16)?;
        if let Some(lora) = &self.llm.lora {
            within("llm.lora.r", lora.r, 1 << 16)?;
            positive("llm.lora.alpha", lora.alpha, 1e6)?;
        }
        self.parts().into_iter().try_for_each(|(part, file)| check_file(part, file))
    }
}

type Check = Result<(), (&'static str, String)>;

fn positive(key: &'static str, value: f64, limit: f64) -> Check {
    let right = value.is_finite() && value > 0.0 && value <= limit;
    if right { Ok(()) } else { Err((key, format!("is {value}; it must be more than 0 and at most {limit}"))) }
}

fn within(key: &'static str, value: usize, limit: usize) -> Check {
    let right = (1..=limit).contains(&value);
    if right { Ok(()) } else { Err((key, format!("is {value}; it must be between 1 and {limit}"))) }
}

fn tokens(key: &'static str, count: usize, table: &str, encoder: bool) -> Check {
    match (count, encoder) {
        (0, true) => Err((key, format!("is 0, but there is an encoder in [{table}]"))),
        (0, false) => Ok(()),
        (_, false) => {
            Err((key, format!("is {count}, but there is no encoder: add [{table}] or set it to 0")))
        }
        (_, true) => within(key, count, 10_000),
    }
}

/// Each by itself; together they have the modality's width where no vocabulary has a say in it.
fn check_outputs(key: &'static str, outputs: &[&OutputSpec], dim: Option<usize>) -> Check {
    let Some(dim) = dim else { return Ok(()) };
    if outputs.is_empty() || outputs.len() > MOST_PARTS {
        return Err((key, format!("are {}; there must be between 1 and {MOST_PARTS}", outputs.len())));
    }
    for output in outputs {
        within(key, output.dim, 1 << 20)?;
        within(key, output.every, 1_000)?;
        if output.from >= output.dim {
            return Err((key, format!("take columns from {} on, of {}", output.from, output.dim)));
        }
        let taken = output.dim - output.from;
        if let Some(classes) = output.classes
            && classes.names().count() != taken
        {
            let reason = format!(
                "have {taken} columns for the {} classes of {}",
                classes.names().count(),
                classes.name()
            );
            return Err((key, reason));
        }
        let seen = key.starts_with("vision");
        if output.classes.is_some_and(|classes| (classes != Classes::Audioset) != seen) {
            return Err((key, "have classes of the other sense".into()));
        }
    }
    let width: usize = outputs.iter().map(|output| output.dim - output.from).sum();
    if outputs.iter().all(|output| output.classes.is_none()) && width != dim {
        return Err((key, format!("have {width} columns together, `dim` is {dim}")));
    }
    Ok(())
}

fn check_scale(scale: &ScaleSpec) -> Check {
    if scale.std.iter().any(|std| !(std.is_finite() && *std > 0.0)) {
        return Err(("vision.preprocess.scale.std", "must be three numbers above 0".into()));
    }
    if scale.mean.iter().any(|mean| !mean.is_finite()) {
        return Err(("vision.preprocess.scale.mean", "must be three finite numbers".into()));
    }
    Ok(())
}

fn check_file(part: &'static str, file: &FileRef) -> Check {
    let path = Path::new(&file.file);
    // A fetched part is written where the manifest says: never outside the directories for models.
    let leaves = path.components().any(|c| c == Component::ParentDir);
    let absolute = path.is_absolute() && file.fetch.is_some();
    if file.file.is_empty() || leaves || absolute {
        let reason =
            format!("of `{part}` is \"{}\"; name a path inside the model directory, without `..`", file.file);
        return Err(("file", reason));
    }
    let sums = [file.sha256.as_deref(), file.fetch.as_ref().and_then(Fetch::sha256)];
    for sum in sums.into_iter().flatten() {
        if sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(("sha256", format!("of `{part}` is \"{sum}\"; it must be 64 hexadecimal digits")));
        }
    }
    if file.convert.is_some() && file.fetch.is_none() {
        return Err(("convert", format!("of `{part}` has no `fetch` beside it that it could convert")));
    }
    Ok(())
}
