//! Hearing records as they are kept, from any point on, in order and each once.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::told::Told;
use super::{History, HistoryError, query};

/// Records that are read at once from the file.
const PAGE: usize = 256;

/// Hears records. It holds a page at most, however slowly it is read.
#[derive(Debug)]
pub struct Listener {
    history: History,
    live: broadcast::Receiver<Arc<Told>>,
    /// The last one that was heard.
    last: i64,
    /// Read in the file and not given out yet.
    page: VecDeque<Arc<Told>>,
    /// There may be more in the file than was heard live.
    behind: bool,
    /// Records that the history forgot before they were read, at most.
    missed: u64,
}

impl Listener {
    /// Hears what comes after the record `last`; `behind` when some of it may be in the file already.
    pub(super) fn new(
        history: History,
        live: broadcast::Receiver<Arc<Told>>,
        last: i64,
        behind: bool,
    ) -> Self {
        Self { history, live, last, page: VecDeque::new(), behind, missed: 0 }
    }

    /// How many records, of any kind, the history forgot before they were heard; since the last call.
    pub fn missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// The next record; `None` when the history is closed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Arc<Told>>, HistoryError> {
        loop {
            if let Some(told) = self.page.pop_front() {
                self.last = told.seq;
                return Ok(Some(told));
            }
            if self.behind {
                let after = self.last;
                let page = self.history.read(move |file| query::records_after(file, after, PAGE)).await?;
                self.behind = page.more;
                self.missed += page.missed;
                // What is gone is not looked for again.
                self.last += i64::try_from(page.missed).unwrap_or(0);
                self.page = page.records.into();
                if !self.page.is_empty() {
                    continue;
                }
            }
            match self.live.recv().await {
                Ok(told) if told.seq > self.last => self.page.push_back(told),
                Ok(_heard) => {}
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }
}
