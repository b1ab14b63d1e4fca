//! Segments of sound, and their samples of 16 bits.

use avicuna_models::preprocess::mel::int16_round_trip;
use avicuna_models::preprocess::segments::{self, LENGTH, Rule};
use safetensors::SafeTensors;

use super::golden::{json, read};
use super::signals::signals;
use super::{Anything, floats, largest_difference, list, number, real};

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
