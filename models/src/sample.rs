//! What goes into the encoders, and a cell that encodes it once.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// One embedding, `[dim]` f32, shared by every window that covers its grid time.
pub type Embedding = Arc<[f32]>;

/// What the parts of an encoder made of one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoding {
    /// The parts' rows one behind the other; zeros where a part did not run.
    pub row: Embedding,
    /// Which parts ran, a bit each.
    pub ran: u32,
}

impl Encoding {
    /// Of an encoder all of whose parts ran.
    pub fn whole(row: Embedding) -> Self {
        Self { row, ran: u32::MAX }
    }
}

/// A decoded frame: packed 8-bit RGB, `height * width * 3` bytes, rows top to bottom without padding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RgbFrame {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Width over height as the picture is to be shown: another than `width / height` where it was stretched.
    pub aspect: f32,
    /// `height * width * 3` bytes.
    pub data: Vec<u8>,
}

/// Mono samples in `[-1, 1]` at the sampling rate the model's manifest names; as long as its `audio.clip_seconds`.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioClip {
    /// f32 samples.
    pub samples: Vec<f32>,
}

/// An encoder input that becomes its embedding once; the input's memory is freed then.
///
/// Overlapping windows hold the same `Arc<EncodeOnce<_>>`, so a frame is encoded once however many windows see it,
/// and the embedding lives exactly as long as a window needs it.
#[derive(Debug)]
pub struct EncodeOnce<I> {
    input: Mutex<Option<I>>,
    /// Every part of the encoder is to look at it.
    whole: bool,
    encoding: OnceLock<Encoding>,
    /// Told when the input came back or the encoding is there.
    settled: Condvar,
}

impl<I> EncodeOnce<I> {
    /// A sample that is not encoded yet.
    pub fn new(input: I) -> Self {
        Self {
            input: Mutex::new(Some(input)),
            whole: false,
            encoding: OnceLock::new(),
            settled: Condvar::new(),
        }
    }

    /// A sample that speaks for others, and that every part of an encoder looks at therefore, whosever turn it is.
    pub fn whole(input: I) -> Self {
        Self { whole: true, ..Self::new(input) }
    }

    /// See [`EncodeOnce::whole`].
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// A sample whose embedding is known already (cached features).
    pub fn encoded(embedding: Embedding) -> Self {
        let encoding = OnceLock::from(Encoding::whole(embedding));
        Self { input: Mutex::new(None), whole: false, encoding, settled: Condvar::new() }
    }

    /// What the encoder made of it, if [`EncodeOnce::fill`] was called.
    pub fn encoding(&self) -> Option<&Encoding> {
        self.encoding.get()
    }

    /// The row of [`EncodeOnce::encoding`].
    pub fn embedding(&self) -> Option<&Embedding> {
        self.encoding.get().map(|encoding| &encoding.row)
    }

    /// Takes the input out for encoding. `None` when it is encoded, or another caller holds it.
    pub fn take_input(&self) -> Option<I> {
        self.lock().take()
    }

    /// Waits until it is encoded or its input is there again, until `deadline` at the latest; `false` when neither has come.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        let patience = deadline.saturating_duration_since(Instant::now());
        let taken = |input: &mut Option<I>| input.is_none() && self.encoding.get().is_none();
        let waited = self.settled.wait_timeout_while(self.lock(), patience, taken);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, Option<I>> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the input back after a failed encoder call, so that a later window may try again.
    pub fn put_back(&self, input: I) {
        *self.lock() = Some(input);
        self.settled.notify_all();
    }

    /// Stores what the encoder made of it; the first one wins.
    pub fn fill(&self, encoding: Encoding) {
        let _first_wins = self.encoding.set(encoding);
        // Under the lock, so that nobody who has just looked misses it.
        let _nobody_looks = self.lock();
        self.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_taken_once_and_keeps_its_first_embedding() {
        let sample = EncodeOnce::new(AudioClip { samples: vec![0.5] });
        assert!(sample.embedding().is_none());
        assert!(sample.take_input().is_some());
        assert!(sample.take_input().is_none(), "a second window must not encode it again");
        sample.fill(Encoding::whole(Arc::from([1.0f32].as_slice())));
        sample.fill(Encoding::whole(Arc::from([2.0f32].as_slice())));
        assert_eq!(sample.embedding().map(|e| e[0]), Some(1.0));
    }

    #[test]
    fn a_failed_encoder_call_gives_the_input_back() {
        let sample = EncodeOnce::new(7u8);
        let input = sample.take_input().expect("not taken yet");
        sample.put_back(input);
        assert_eq!(sample.take_input(), Some(7));
    }
}
