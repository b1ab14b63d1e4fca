//! CLIP's tensors of frames.

use avicuna_models::preprocess::clip::{self, Fit, MEAN, Resize, STD};
use avicuna_models::sample::RgbFrame;
use safetensors::SafeTensors;

use super::golden::{json, read};
use super::{Anything, every, floats, largest_difference, list, number};

fn frames(tensors: &SafeTensors) -> Result<Vec<(String, RgbFrame)>, Box<dyn std::error::Error>> {
    let mut frames = Vec::new();
    for frame in list(&json("clip_preprocess.json"), "frames") {
        let name = frame["name"].as_str().expect("a name").to_owned();
        let view = tensors.tensor(&format!("{name}.input_hwc_u8"))?;
        let (height, width) = (view.shape()[0], view.shape()[1]);
        frames.push((name, RgbFrame { width, height, aspect: 1.0, data: view.data().to_vec() }));
    }
    Ok(frames)
}

#[test]
fn scaled_frames_are_those_of_torchvision() -> Anything {
    let bytes = read("clip_preprocess.safetensors");
    let tensors = SafeTensors::deserialize(&bytes)?;
    let mut halves = 0;
    for (name, frame) in frames(&tensors)? {
        for (rule, resize) in
            [("tensor_antialias", Resize::Antialias), ("tensor_no_antialias", Resize::NoAntialias)]
        {
            let found = clip::tensor(&frame, 224, resize)?;
            let (_, expected) = floats(&tensors, &format!("{name}.{rule}.rows8_f32"))?;
            let difference = largest_difference(&every(&found, 224, 8), &expected);
            assert!(difference <= 2e-5, "{name} {rule}: {difference}");
            if let Ok((_, expected)) = floats(&tensors, &format!("{name}.{rule}.full_f16")) {
                let difference = largest_difference(&found, &expected);
                assert!(difference <= 2e-3, "{name} {rule}: {difference}");
                halves += 1;
            }
        }
    }
    assert!(halves > 0, "no whole tensor was compared");
    Ok(())
}

#[test]
fn scaled_frames_are_those_of_pillow() -> Anything {
    let bytes = read("clip_preprocess.safetensors");
    let tensors = SafeTensors::deserialize(&bytes)?;
    for (name, frame) in frames(&tensors)? {
        let found = every(&clip::tensor(&frame, 224, Resize::Pil)?, 224, 8);
        let (_, expected) = floats(&tensors, &format!("{name}.pil.rows8_f32"))?;
        let difference = largest_difference(&found, &expected);
        assert!(difference <= 1e-5, "{name}: {difference}, a grey level is 0.015");
    }
    Ok(())
}

/// The float rules keep what bicubic scaling adds beside edges, as the reference does; Pillow's clips it.
#[test]
fn only_pillows_rule_stays_within_the_range_of_a_picture() -> Anything {
    let bytes = read("clip_preprocess.safetensors");
    let tensors = SafeTensors::deserialize(&bytes)?;
    let range = |tensor: &[f32]| {
        let plane = tensor.len() / 3;
        let value = |(i, x): (usize, &f32)| x * STD[i / plane] + MEAN[i / plane];
        let values = tensor.iter().enumerate().map(value);
        values.fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(x), high.max(x)))
    };
    let mut beyond = 0;
    for (name, frame) in frames(&tensors)? {
        let (low, high) = range(&clip::tensor(&frame, 224, Resize::Pil)?);
        assert!(low >= -1e-6 && high <= 1.0 + 1e-6, "{name}: {low}..{high}");
        let (low, high) = range(&clip::tensor(&frame, 224, Resize::Antialias)?);
        beyond += usize::from(low < -0.05 && high > 1.05);
    }
    assert!(beyond > 0, "no frame with sharp edges");
    Ok(())
}

#[test]
fn sizes_and_corners_are_the_references() {
    let all = json("clip_preprocess.json");
    for row in list(&all, "sizes") {
        let row: Vec<usize> = row.as_array().expect("columns").iter().map(number).collect();
        let fit = Fit { height: row[2], width: row[3], top: row[4], left: row[5] };
        assert_eq!(Fit::new(row[0], row[1], 224), fit, "{}x{}", row[0], row[1]);
    }
    for frame in list(&all, "frames") {
        let fit = Fit::new(number(&frame["height"]), number(&frame["width"]), 224);
        let pair = |name: &str| (number(&frame[name][0]), number(&frame[name][1]));
        assert_eq!((fit.height, fit.width), pair("resized_hw"));
        assert_eq!((fit.top, fit.left), pair("crop_top_left"));
    }
}
