//! The golden data's signals, made again from their descriptions.

use avicuna_models::preprocess::segments;
use serde_json::Value;

use super::golden::json;
use super::{list, number};

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
pub fn signals() -> Vec<(String, Vec<f32>, Value)> {
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
