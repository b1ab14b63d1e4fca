//! How far a long step is: a bar on a terminal, elsewhere a line for each tenth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Counts what is done of a step. Threads may share it.
pub(super) struct Counter {
    step: &'static str,
    bar: ProgressBar,
    /// The tenths that were told, and one more.
    told: AtomicU64,
}

impl Counter {
    /// Of a step such as "rendering videos".
    pub(super) fn new(step: &'static str) -> Result<Self> {
        let bar = ProgressBar::no_length().with_message(step);
        let style = "{msg:18} [{bar:40}] {human_pos}/{human_len}  {per_sec}  {eta} left";
        bar.set_style(ProgressStyle::with_template(style)?);
        bar.enable_steady_tick(Duration::from_millis(200));
        Ok(Self { step, bar, told: AtomicU64::new(0) })
    }

    /// `done` of `of` are done.
    pub(super) fn at(&self, done: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(done);
        let tenths = (10 * done).checked_div(of).unwrap_or(0) + 1;
        if self.bar.is_hidden() && self.told.fetch_max(tenths, Ordering::Relaxed) < tenths {
            eprintln!("{}: {done} of {of}", self.step);
        }
    }

    /// The step is over.
    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }
}
