//! How far a part is.

/// How far a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes that have arrived, and how many there will be, where that is known.
    Bytes(u64, Option<u64>),
    /// A script makes the file from what was fetched.
    Converting,
}

/// Takes progress; cheap to hand on.
pub(super) struct Report<'a>(pub(super) &'a mut dyn FnMut(Progress));

impl Report<'_> {
    pub(super) fn at(&mut self, done: u64, total: Option<u64>) {
        (self.0)(Progress::Bytes(done, total));
    }

    pub(super) fn again(&mut self) -> Report<'_> {
        Report(self.0)
    }
}
