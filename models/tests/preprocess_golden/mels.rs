//! Log-mels, and the window and filters that they are made with.

use avicuna_models::preprocess::mel::{LogMel, MelScale, MelSpec};
use avicuna_models::preprocess::segments::{self, LENGTH, Rule};
use safetensors::SafeTensors;

use super::golden::read;
use super::signals::signals;
use super::{Anything, every, floats, largest_difference, list, real};

#[test]
fn window_and_filters_are_the_references() -> Anything {
    let bytes = read("clap_mel.safetensors");
    let tensors = SafeTensors::deserialize(&bytes)?;
    let clap = LogMel::clap();
    let (_, window) = floats(&tensors, "laion.window_1024")?;
    assert!(largest_difference(&clap.window(), &window) <= 1e-6);
    let slaney = LogMel::new(MelSpec { scale: MelScale::Slaney, int16: false, ..MelSpec::clap() })?;
    let names = [
        ("laion.mel_filterbank_513x64", &clap),
        ("hf.fused.mel_filters_used", &clap),
        ("hf.unfused.mel_filters_used", &slaney),
    ];
    for (name, front_end) in names {
        let (shape, filters) = floats(&tensors, name)?;
        assert_eq!(shape, [513, 64]);
        let difference = largest_difference(&front_end.filters(), &filters);
        let largest = filters.iter().copied().fold(0.0, f32::max);
        assert!(difference <= 2e-5 * largest, "{name}: {difference} of {largest}");
    }
    Ok(())
}

/// Within 0.01 dB where a bin is within 60 dB of its frame's loudest, 1.5 dB elsewhere, 0.02 dB on average.
///
/// A tone outside of the mel range leaves only the single-precision noise of the reference's Fourier transform, more
/// than 100 dB below the tone, in all bins of its frame. So a bin must also be within 90 dB of the segment's loudest.
fn compare(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let (mut sum, mut loud, mut quiet) = (0.0f64, 0.0f32, 0.0f32);
    let segments_loudest = expected.iter().copied().fold(f32::MIN, f32::max);
    for (found, expected) in found.chunks(64).zip(expected.chunks(64)) {
        let loudest = expected.iter().copied().fold(f32::MIN, f32::max);
        let counts = (loudest - 60.0).max(segments_loudest - 90.0);
        for (x, y) in found.iter().zip(expected) {
            let difference = (x - y).abs();
            sum += f64::from(difference);
            let class = if *y >= counts { &mut loud } else { &mut quiet };
            *class = class.max(difference);
        }
    }
    let mean = sum / expected.len() as f64;
    let text =
        format!("{name}: {loud:.5} dB near the loudest bin, {quiet:.3} dB elsewhere, {mean:.5} dB mean");
    assert!(loud <= 0.01 && quiet <= 1.5 && mean < 0.02, "{text}");
}

#[test]
fn log_mels_are_the_references() -> Anything {
    let bytes = read("clap_mel.safetensors");
    let tensors = SafeTensors::deserialize(&bytes)?;
    let clap = LogMel::clap();
    let mut compared = 0;
    for (name, samples, case) in signals().into_iter().filter(|(_, _, case)| case["error"].is_null()) {
        // The four fusion channels of the reference are equal: a segment is never longer than 10 s.
        assert_eq!(case["channels_equal"], true);
        let starts: Vec<usize> = segments::starts(samples.len(), Rule::Reference).collect();
        for (index, stat) in list(&case, "mel_stats").iter().enumerate() {
            let mel = clap.run(&segments::segment(&samples, starts[index]));
            assert_eq!(mel.len(), 1001 * 64, "{name}");
            for (kind, sum) in [
                ("sum", mel.iter().map(|x| f64::from(*x)).sum::<f64>()),
                ("abs_sum", mel.iter().map(|x| f64::from(x.abs())).sum()),
            ] {
                let mean = (sum - real(&stat[kind])).abs() / mel.len() as f64;
                assert!(mean < 0.02, "{name} {index} {kind}: {mean} dB");
            }
            if let Ok((_, expected)) = floats(&tensors, &format!("{name}.laion_mel.{index}")) {
                compare(&format!("{name} segment {index}"), &every(&mel, 64, 10), &expected);
                compared += 1;
            }
        }
    }
    let known = signals();
    let signals = tensors.names().into_iter().filter_map(|name| Some(name.split_once(".laion_mel.")?.0));
    let recorded = signals.filter(|signal| known.iter().any(|(name, ..)| name == signal)).count();
    assert!(compared > 0 && compared == recorded, "{compared} of {recorded} segments were compared");
    Ok(())
}

/// Hugging Face's extractors take the raw signal and repeat a short one. What they draw at random of longer signals is
/// not ours to repeat.
#[test]
fn log_mels_without_16_bits_are_those_of_hugging_face() -> Anything {
    let bytes = read("clap_mel.safetensors");
    let tensors = SafeTensors::deserialize(&bytes)?;
    let mut compared = 0;
    for (extractor, scale) in [("fused", MelScale::Htk), ("unfused", MelScale::Slaney)] {
        let front_end = LogMel::new(MelSpec { scale, int16: false, ..MelSpec::clap() })?;
        for (name, raw, _) in signals().into_iter().filter(|(_, raw, _)| raw.len() <= LENGTH) {
            let Ok((_, expected)) = floats(&tensors, &format!("hf.{extractor}.{name}")) else { continue };
            let repeated = raw.repeat(LENGTH / raw.len());
            let mel = front_end.run(&segments::segment(&repeated, 0));
            compare(&format!("{extractor} {name}"), &every(&mel, 64, 20), &expected);
            compared += 1;
        }
    }
    assert!(compared > 0, "no signal was compared");
    Ok(())
}

#[test]
fn clips_of_any_length_have_their_frames() -> Anything {
    let clap = LogMel::clap();
    for (samples, frames) in
        [(0, 0), (1, 1), (2, 1), (479, 1), (480, 2), (512, 2), (48_000, 101), (480_000, 1001)]
    {
        let clip: Vec<f32> = (0..samples).map(|i| (i % 7) as f32 / 7.0).collect();
        let mel = clap.run(&clip);
        assert_eq!((clap.frames(samples), mel.len()), (frames, frames * 64), "{samples} samples");
        assert!(mel.iter().all(|x| x.is_finite()));
    }
    let silent = clap.run(&[f32::NAN; 1000]);
    assert!(silent.iter().all(|x| *x == -100.0), "what is not a number is silence");
    for wrong in [
        MelSpec { fft: 0, ..MelSpec::clap() },
        MelSpec { hop: 0, ..MelSpec::clap() },
        MelSpec { mels: 0, ..MelSpec::clap() },
        MelSpec { high: 30_000.0, ..MelSpec::clap() },
        MelSpec { low: f64::NAN, ..MelSpec::clap() },
    ] {
        let error = LogMel::new(wrong).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("must be")));
    }
    Ok(())
}
