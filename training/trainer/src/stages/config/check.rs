//! What no stage can be trained with.

use super::{Form, Part, Stage};

impl Stage {
    /// Tells `problem` the field and what is wrong with it.
    pub(super) fn check(&self, problem: &mut impl FnMut(&str, String)) {
        let rate = |rate: f64| rate.is_finite() && rate > 0.0 && rate < 1.0;
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let of = &self.lr_of;
        let rates = [
            ("lr", Some(self.lr)),
            ("lr_of.vision", of.vision),
            ("lr_of.vision_columns.lr", of.vision_columns.map(|columns| columns.lr)),
            ("lr_of.audio", of.audio),
            ("lr_of.lora", of.lora),
        ];
        for (field, value) in rates {
            if let Some(value) = value.filter(|value| !rate(*value)) {
                problem(field, format!("{value} is no learning rate; it lies between 0 and 1, as 1e-4"));
            }
        }
        let counts = [
            ("epochs", self.epochs as usize),
            ("batch", self.batch),
            ("accumulation", self.accumulation),
            ("max_length", self.max_length),
            ("checkpoint_every", self.checkpoint_every as usize),
        ];
        for (field, value) in counts {
            if value == 0 {
                problem(field, "is 0; the least is 1".into());
            }
        }
        for (field, value) in [("warm_up", self.warm_up), ("floor", self.floor)] {
            if !share(value) {
                problem(field, format!("{value} is no share; it lies between 0 and 1"));
            }
        }
        for (field, value) in [("clip", self.clip), ("weight_decay", self.weight_decay)] {
            if !(value.is_finite() && value >= 0.0) {
                problem(field, format!("{value} must be 0 or more"));
            }
        }
        if self.betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            problem("betas", "are two numbers from 0 to below 1, as [0.9, 0.999]".into());
        }
        if self.data.is_empty() {
            problem("data", "names no folder; give at least one corpus directory".into());
        }
        if self.train.is_empty() {
            problem("train", "names no part; there are \"vision\", \"audio\" and \"lora\"".into());
        }
        match (&self.lora, self.trains(Part::Lora)) {
            (None, true) => {
                problem("lora", "is missing, but \"lora\" is in `train`; give r and alpha".into())
            }
            (Some(_), false) => problem("lora", "is set, but \"lora\" is not in `train`".into()),
            (Some(lora), true) => {
                if lora.r == 0 || lora.r > 4096 {
                    problem("lora.r", format!("{} is no rank; 8 to 128 are usual", lora.r));
                }
                if !(lora.alpha.is_finite() && lora.alpha > 0.0) {
                    problem("lora.alpha", format!("{} must be above 0; 2 r is usual", lora.alpha));
                }
                if !(0.0..1.0).contains(&lora.dropout) {
                    problem("lora.dropout", format!("{} must be from 0 to below 1", lora.dropout));
                }
            }
            (None, false) => {}
        }
        match (&self.windows, self.form == Form::Windows) {
            (Some(_), false) => problem("windows", "belongs to form = \"windows\" only".into()),
            (Some(windows), true) => {
                if windows.per_video == 0 {
                    problem("windows.per_video", "is 0; the least is 1".into());
                }
                if !share(windows.drop_sense) {
                    problem("windows.drop_sense", "is no share; it lies between 0 and 1".into());
                }
                if !share(windows.other_sound) {
                    problem("windows.other_sound", "is no share; it lies between 0 and 1".into());
                }
                if !(0.0..=10.0).contains(&windows.noise) {
                    problem("windows.noise", "lies between 0 and 10".into());
                }
            }
            _ => {}
        }
    }
}
