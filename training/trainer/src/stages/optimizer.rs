//! AdamW with learning rates by part, the schedule, and clipping.

use super::config::{Schedule, Stage};
use crate::decoder::Parameter;

/// Added to the root of the second moment.
const EPS: f64 = 1e-8;

/// A parameter's moments, as long as it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

/// AdamW (Loshchilov and Hutter), as torch computes it.
#[derive(Debug, Clone)]
pub(super) struct AdamW {
    pub(super) betas: [f64; 2],
    pub(super) weight_decay: f64,
    /// One for each parameter, in their order.
    pub(super) moments: Vec<Moments>,
}

/// How fast a parameter learns: a share of the schedule's rate, and another for its first columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) share: f64,
    pub(super) first: Option<(usize, f64)>,
}

impl AdamW {
    pub(super) fn new(stage: &Stage, parameters: &[&Parameter]) -> Self {
        let zeros =
            |p: &&Parameter| Moments { first: vec![0.0; p.values.len()], second: vec![0.0; p.values.len()] };
        let moments = parameters.iter().map(zeros).collect();
        Self { betas: stage.betas, weight_decay: stage.weight_decay, moments }
    }

    /// Step number `step`, from 1, with a gradient that is `scale` times the parameters'; the gradients are zero then.
    pub(super) fn step(
        &mut self,
        parameters: &mut [&mut Parameter],
        shares: &[Share],
        lr: f64,
        scale: f64,
        step: u64,
    ) {
        use rayon::prelude::*;
        let [beta1, beta2] = self.betas;
        let correct = |beta: f64| 1.0 - beta.powi(step.min(1 << 30) as i32);
        let (correct1, correct2) = (correct(beta1), correct(beta2));
        let decay = self.weight_decay;
        let all = parameters.par_iter_mut().zip(&mut self.moments).zip(shares);
        all.for_each(|((parameter, moments), share)| {
            let columns = parameter.shape[1];
            let Parameter { values, gradient, .. } = &mut **parameter;
            let each = values.iter_mut().zip(gradient).zip(moments.first.iter_mut().zip(&mut moments.second));
            for (index, ((value, gradient), (first, second))) in each.enumerate() {
                let slow = share.first.filter(|(first, _)| index % columns < *first);
                let lr = lr * slow.map_or(share.share, |(_, share)| share);
                let g = f64::from(*gradient) * scale;
                let m = beta1 * f64::from(*first) + (1.0 - beta1) * g;
                let v = beta2 * f64::from(*second) + (1.0 - beta2) * g * g;
                (*first, *second) = (m as f32, v as f32);
                let step = (m / correct1) / ((v / correct2).sqrt() + EPS);
                *value = (f64::from(*value) * (1.0 - lr * decay) - lr * step) as f32;
                *gradient = 0.0;
            }
        });
    }
}

/// The norm of all gradients together, times `scale`.
pub(super) fn norm(parameters: &[&Parameter], scale: f64) -> f64 {
    let square = |p: &&Parameter| p.gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    parameters.iter().map(square).sum::<f64>().sqrt() * scale
}

/// What to multiply a gradient of `norm` by so that it is at most `clip` long; 0 clips nothing.
pub(super) fn clipped(norm: f64, clip: f64) -> f64 {
    if clip > 0.0 && norm > clip { clip / norm } else { 1.0 }
}

/// The learning rate of step `done + 1` of `all`.
pub(super) fn rate(stage: &Stage, done: u64, all: u64) -> f64 {
    let warm = (stage.warm_up * all as f64).ceil();
    let done = done as f64;
    if done < warm {
        return stage.lr * (done + 1.0) / warm;
    }
    let share = match stage.schedule {
        Schedule::Constant => 1.0,
        Schedule::Cosine => {
            let progress = ((done - warm) / (all as f64 - warm).max(1.0)).min(1.0);
            stage.floor + (1.0 - stage.floor) * (0.5 + 0.5 * (std::f64::consts::PI * progress).cos())
        }
    };
    stage.lr * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::config::Config;

    fn stage() -> Stage {
        let text = "seed = 1\n[model]\nmanifest = \"m\"\nadapters = \"random\"\n[stage.1]\ndata = [\"d\"]\nform = \"captions\"\n\
            train = [\"vision\"]\nlr = 1e-2\nepochs = 1\nbatch = 1\nmax_length = 9\nwarm_up = 0.03\nweight_decay = 0.1\n";
        Config::read(text, "t.toml").expect("it is right").stage(1).expect("stage 1").clone()
    }

    /// Numbers of `torch.optim.AdamW([w], lr=0.01, weight_decay=0.1)` for two steps with gradients (0.5, -2), (0.1, 1).
    #[test]
    fn two_steps_are_torchs() {
        let mut parameter = Parameter::new("w", [1, 2], vec![1.0, -3.0]);
        let mut adam = AdamW::new(&stage(), &[&parameter]);
        let shares = [Share { share: 1.0, first: None }];
        for (step, gradient) in [(1, [0.5, -2.0]), (2, [0.1, 1.0])] {
            parameter.gradient = gradient.to_vec();
            adam.step(&mut [&mut parameter], &shares, 0.01, 1.0, step);
            assert_eq!(parameter.gradient, [0.0, 0.0]);
        }
        let expected = [0.979_980_65, -2.981_349_7];
        for (found, expected) in parameter.values.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{:?}", parameter.values);
        }
    }

    #[test]
    fn columns_have_their_own_rate() {
        let mut parameter = Parameter::new("w", [2, 3], vec![0.0; 6]);
        let mut adam = AdamW::new(&Stage { weight_decay: 0.0, ..stage() }, &[&parameter]);
        parameter.gradient = vec![1.0; 6];
        adam.step(&mut [&mut parameter], &[Share { share: 1.0, first: Some((2, 0.1)) }], 0.01, 1.0, 1);
        let rounded: Vec<f32> = parameter.values.iter().map(|v| (v * 1e6).round() / 1e6).collect();
        assert_eq!(rounded, [-0.001, -0.001, -0.01, -0.001, -0.001, -0.01]);
    }

    #[test]
    fn the_rate_rises_then_falls_to_its_floor() {
        let stage = Stage { floor: 0.02, ..stage() };
        let rates: Vec<f64> = (0..100).map(|done| rate(&stage, done, 100)).collect();
        assert!((rates[0] - 0.01 / 3.0).abs() < 1e-9 && (rates[2] - 0.01).abs() < 1e-9);
        assert!(rates[2..].windows(2).all(|pair| pair[1] <= pair[0]));
        assert!((rate(&stage, 100, 100) - 0.0002).abs() < 1e-9);
        let constant = Stage { schedule: Schedule::Constant, ..stage };
        assert_eq!(super::rate(&constant, 90, 100), 0.01);
        assert_eq!((clipped(4.0, 1.0), clipped(0.5, 1.0), clipped(9.0, 0.0)), (0.25, 1.0, 1.0));
    }
}
