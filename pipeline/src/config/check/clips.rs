//! What must hold of `[clips]`.

use std::time::Duration;

use super::Check;
use crate::config::{Config, StreamConfig};

impl Check<'_> {
    pub(super) fn clips(&mut self, config: &Config) {
        let clips = &config.clips;
        if let Some(store) = &clips.store {
            let scheme = store.split_once("://").map(|(scheme, _)| scheme);
            let message = format!("\"{store}\" is no store; name a folder, or s3://BUCKET/PREFIX");
            let named = clips.bucket().is_none_or(|(bucket, _)| !bucket.is_empty());
            self.ensure(
                !store.is_empty() && scheme.is_none_or(|scheme| scheme == "s3") && named,
                "clips.store",
                message,
            );
        }
        let public = clips.public_url.as_str();
        let is_url = ["http://", "https://"].iter().any(|scheme| public.starts_with(scheme));
        self.ensure(
            public.is_empty() || (is_url && !public.ends_with('/')),
            "clips.public_url",
            "must begin with http:// or https:// and end without a \"/\", as \"https://avicuna.example.org\"",
        );
        self.ensure(clips.longest > Duration::ZERO, "clips.longest", "must be longer than 0");
        let needed = clips.pre_roll + clips.longest;
        self.ensure(
            clips.ring_time > needed,
            "clips.ring_time",
            format!(
                "must be longer than clips.pre_roll and clips.longest together, {} s; half a minute more for the model's answer \
                 is reasonable",
                needed.as_secs()
            ),
        );
        self.ensure(clips.ring_bytes > 0, "clips.ring_bytes", "must be at least 1; 67108864 is 64 MiB");
        self.ensure(clips.max_age > Duration::ZERO, "clips.max_age", "must be longer than 0");
        self.ensure(clips.max_bytes > 0, "clips.max_bytes", "must be at least 1; 10737418240 is 10 GiB");
        let pair = clips.s3.access_key_id.is_some() == clips.s3.secret_access_key.is_some();
        self.ensure(
            pair,
            "clips.s3.access_key_id",
            "is of use only together with clips.s3.secret_access_key",
        );
    }

    pub(super) fn mask(&mut self, index: usize, stream: &StreamConfig) {
        for (number, rectangle) in stream.mask.iter().enumerate() {
            let [left, top, width, height] = rectangle.0;
            let part = |from: f64, length: f64| from >= 0.0 && length > 0.0 && from + length <= 1.0 + 1e-9;
            self.ensure(
                part(left, width) && part(top, height),
                format!("stream[{index}].mask[{number}]"),
                "must be [left, top, width, height] as parts of the picture from 0 to 1, as [0.0, 0.0, 0.25, 0.1]",
            );
        }
    }
}
