//! CLIP tensors, log-mels and segments against the reference's: `AVICUNA_GOLDEN`, or the fixtures.

mod golden;

use avicuna_models::preprocess::clip::{self, Fit, MEAN, Resize, STD};
use avicuna_models::preprocess::mel::{LogMel, MelScale, MelSpec, int16_round_trip};
use avicuna_models::preprocess::segments::{self, LENGTH, Rule};
use avicuna_models::sample::RgbFrame;
use golden::{json, read};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

type Anything = Result<(), Box<dyn std::error::Error>>;

fn list<'a>(of: &'a Value, name: &str) -> &'a Vec<Value> {
    of[name].as_array().unwrap_or_else(|| panic!("no list `{name}`"))
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count")) as usize
}

fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// A tensor's shape and values; f16 and f32.
fn floats(tensors: &SafeTensors, name: &str) -> Result<(Vec<usize>, Vec<f32>), Box<dyn std::error::Error>> {
    let view = tensors.tensor(name)?;
    let values = match view.dtype() {
        Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
        Dtype::F16 => {
            view.data().as_chunks::<2>().0.iter().map(|x| half::f16::from_le_bytes(*x).to_f32()).collect()
        }
        other => panic!("{name} is {other:?}"),
    };
    Ok((view.shape().to_vec(), values))
}

/// Rows 0, `step`, 2 `step`, ... of `[rows, columns]`.
fn every(values: &[f32], columns: usize, step: usize) -> Vec<f32> {
    values.chunks(columns).step_by(step).flatten().copied().collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

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

/// A golden signal, made again from its description: terms with `+` or `,` between that are added up. What is in a term that
/// this does not know is the error.
fn signal(description: &str, samples: usize) -> Result<Vec<f32>, String> {
    let mut sum = vec![0.0; samples];
    for term in description.split(" + ").flat_map(|terms| terms.split(", ")) {
        for (sum, x) in sum.iter_mut().zip(term_of(term, samples)?) {
            *sum += x;
        }
    }
    Ok(sum.into_iter().map(|x| x as f32).collect())
}

fn term_of(term: &str, samples: usize) -> Result<Vec<f64>, String> {
    let rate = segments::SAMPLE_RATE as f64;
    let words: Vec<&str> = term.split_whitespace().collect();
    let unknown = |word: &str| format!("\"{word}\" in \"{term}\"");
    let real = |word: &str| word.parse::<f64>().map_err(|_| unknown(word));
    let span = |word: &str| {
        let (from, to) = word.split_once("..").ok_or_else(|| unknown(word))?;
        Ok::<_, String>((real(from)?, real(to)?))
    };
    let amplitude = |words: &[&str], usual: f64| match words {
        [] | ["Hz"] => Ok(usual),
        ["Hz", "amp", amplitude] | ["noise", "amp", amplitude] | ["amp", amplitude] => real(amplitude),
        [word, ..] => Err(unknown(word)),
    };
    match words[..] {
        ["zeros" | "silence"] => Ok(vec![0.0; samples]),
        ["sweep", frequencies, ref rest @ ..] => {
            let ((from, to), amplitude) = (span(frequencies)?, amplitude(rest, 0.8)?);
            let duration = samples as f64 / rate;
            let phase = |t: f64| from * t + (to - from) * t * t / (2.0 * duration);
            let sample = |i: usize| amplitude * (std::f64::consts::TAU * phase(i as f64 / rate)).sin();
            Ok((0..samples).map(sample).collect())
        }
        ["clicks", "every", period, "s"] => Ok(clicks((1.2, -1.2), real(period)?, samples)),
        [pair, "pair", "every", period, "s", "(clips)"] => {
            let (first, second) = pair.split_once('/').ok_or_else(|| unknown(pair))?;
            Ok(clicks((real(first)?, real(second)?), real(period)?, samples))
        }
        [generator, ref rest @ ..] => {
            let seed = generator.strip_prefix("LCG(").and_then(|seed| seed.strip_suffix(')'));
            let seed: u32 = seed.and_then(|seed| seed.parse().ok()).ok_or_else(|| unknown(generator))?;
            let (rest, range) = match rest {
                [rest @ .., "in", seconds, "s"] => {
                    let (from, to) = span(seconds)?;
                    (rest, (from * rate) as usize..((to * rate) as usize).min(samples))
                }
                rest => (rest, 0..samples),
            };
            let (mut state, amplitude, mut noise) = (seed, amplitude(rest, 1.0)?, vec![0.0; samples]);
            for x in &mut noise[range] {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *x = (f64::from(state >> 16) - 32768.0) / 32768.0 * amplitude;
            }
            Ok(noise)
        }
        [] => Err(unknown("")),
    }
}

/// Two samples at the beginning of each period of so many seconds.
fn clicks((first, second): (f64, f64), period: f64, samples: usize) -> Vec<f64> {
    let mut signal = vec![0.0; samples];
    let period = (period * segments::SAMPLE_RATE as f64).round() as usize;
    for at in (0..samples.saturating_sub(1)).step_by(period.max(1)) {
        (signal[at], signal[at + 1]) = (first, second);
    }
    signal
}

#[test]
fn a_signal_is_made_of_its_description() {
    let close =
        |found: f32, expected: f64| assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
    let clicks = signal("clicks every 0.4 s", 48_000).expect("known");
    assert_eq!(clicks.iter().filter(|x| **x != 0.0).count(), 6);
    assert_eq!(clicks[19_200..19_203], [1.2, -1.2, 0.0]);
    assert_eq!(signal("+1.2/-1.2 pair every 0.4 s (clips)", 48_000).expect("known"), clicks);
    // The first number of LCG(1) is 1015568748, whose upper half is 15496.
    let noise = (15_496.0 - 32_768.0) / 32_768.0;
    let sum = signal("sweep 100..200 amp 0.5 + LCG(1) amp 0.25", 48_000).expect("known");
    close(sum[0], noise * 0.25);
    let tone = signal("sweep 100..200 Hz amp 0.5", 48_000).expect("known");
    let alone = signal("LCG(1) noise amp 0.25", 48_000).expect("known");
    close(sum[777], f64::from(tone[777]) + f64::from(alone[777]));
    let burst = signal("silence, LCG(1) noise amp 0.5 in 0.5..0.75 s", 48_000).expect("known");
    assert_eq!(burst.iter().position(|x| *x != 0.0), Some(24_000));
    close(burst[24_000], noise * 0.5);
    for (unknown, word) in [("a sweep", "\"a\""), ("sweep 1..2 loud", "\"loud\""), ("zeros + hum", "\"hum\"")]
    {
        assert!(signal(unknown, 9).is_err_and(|error| error.contains(word)), "{unknown}");
    }
}

/// Name, samples and golden description of every signal whose description is understood. One that is not is left out by name.
fn signals() -> Vec<(String, Vec<f32>, Value)> {
    let all = json("clap_mel.json");
    let made = |case: &Value| {
        let name = case["name"].as_str().expect("a name").to_owned();
        match signal(case["signal"].as_str().expect("a text"), number(&case["n_samples"])) {
            Ok(raw) => Some((name, raw, case.clone())),
            Err(unknown) => {
                eprintln!("the signal {name} is not compared: {unknown} is not known");
                None
            }
        }
    };
    let made: Vec<_> = list(&all, "signals").iter().filter_map(made).collect();
    assert!(!made.is_empty(), "no signal is understood");
    made
}

#[test]
fn segments_of_the_signals_are_the_references() -> Anything {
    let bytes = read("clap_mel.safetensors");
    let tensors = SafeTensors::deserialize(&bytes)?;
    for (name, mut samples, case) in signals() {
        int16_round_trip(&mut samples);
        let starts: Vec<usize> = segments::starts(samples.len(), Rule::Reference).collect();
        let about = &case["segments"];
        let empty = case["error"].is_string();
        assert_eq!(starts.len(), if empty { 0 } else { number(&about["shape"][0]) }, "{name}");
        let (_, probes) = floats(&tensors, &format!("{name}.segments_probe"))?;
        let mut found = Vec::new();
        for (index, start) in starts.into_iter().enumerate() {
            let segment = segments::segment(&samples, start);
            let sum: f64 = segment.iter().map(|x| f64::from(x.abs())).sum();
            assert!((sum - real(&about["abs_sums"][index])).abs() < 0.05, "{name} {index}: {sum}");
            let last = segment.iter().rposition(|x| *x != 0.0).map_or(-1, |last| last as i64);
            assert_eq!(Some(last), about["last_nonzero"][index].as_i64(), "{name} {index}");
            found.extend(segment.iter().step_by(number(&about["probe_every"])));
        }
        // One step of 16 bits: another libm's sine may fall on its other side.
        assert!(largest_difference(&found, &probes) <= 1.01 / 32767.0, "{name}");
    }
    Ok(())
}

#[test]
fn files_of_every_length_give_the_references_segments() {
    for case in list(&json("clap_mel.json"), "segment_lengths") {
        let n = number(&case["n_samples"]);
        let starts: Vec<usize> = segments::starts(n, Rule::Reference).collect();
        if case["front_end"] != "ok" {
            // The reference divides by zero here and writes no file; we say that there is no segment.
            assert_eq!((starts.len(), number(&case["shape"][1])), (0, 0), "{n} samples");
            continue;
        }
        assert_eq!(starts.len(), number(&case["shape"][0]), "{n} samples");
        let ramp = |i: usize| (-0.9 + 1.8 * i as f64 / (n - 1) as f64) as f32;
        let mut samples: Vec<f32> = (0..n).map(ramp).collect();
        int16_round_trip(&mut samples);
        for (index, start) in starts.into_iter().enumerate() {
            let segment = segments::segment(&samples, start);
            assert_eq!(segment.len(), LENGTH);
            let nonzero = segment.iter().filter(|x| **x != 0.0).count();
            let expected = number(&case["nonzero_per_segment"][index]);
            assert!(
                nonzero.abs_diff(expected) <= 1,
                "{n} samples, segment {index}: {nonzero}, not {expected}"
            );
            let first = real(&case["first_sample_per_segment"][index]) as f32;
            assert!((segment[0] - first).abs() <= 1.01 / 32767.0, "{n} samples, segment {index}");
        }
    }
}

#[test]
fn our_segments_lose_no_sample_and_none_is_all_silence() {
    for case in list(&json("clap_mel.json"), "segment_lengths") {
        let n = number(&case["n_samples"]);
        let starts: Vec<usize> = segments::starts(n, Rule::Cover).collect();
        let last = *starts.last().expect("any file has a segment");
        assert!(last < n && last + LENGTH >= n, "{n} samples, last segment at {last}");
        assert!(starts.len() < 2 || last - segments::STRIDE + LENGTH < n, "{n} samples: one too many");
    }
    assert_eq!(segments::starts(0, Rule::Cover).count(), 0);
    assert_eq!(segments::segment(&[], 7).len(), LENGTH);
}

#[test]
fn sixteen_bits_are_cut_as_in_the_reference() -> Anything {
    let bytes = read("clap_mel.safetensors");
    let tensors = SafeTensors::deserialize(&bytes)?;
    let (_, mut samples) = floats(&tensors, "int16.in")?;
    let (_, expected) = floats(&tensors, "int16.out")?;
    let quantised = tensors.tensor("int16.quantised")?;
    int16_round_trip(&mut samples);
    assert_eq!(samples, expected);
    for (sample, bytes) in samples.iter().zip(quantised.data().as_chunks::<2>().0) {
        assert_eq!((sample * 32767.0).round(), f32::from(i16::from_le_bytes(*bytes)));
    }
    let mut odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    int16_round_trip(&mut odd);
    assert_eq!(odd, [0.0, 1.0, -1.0]);
    Ok(())
}

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
