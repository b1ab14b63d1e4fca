//! What a sink is to tell: the records it wants, from where it is.

use std::sync::Arc;

use super::state::State;
use super::wanted::Wanted;
use crate::history::{History, HistoryError, Listener, Told, query};

/// Records that nobody wants are kept as passed in steps of so many; a restart may look at so many again.
const STEP: i64 = 256;

/// Reads what a sink wants, and keeps how far it is.
#[derive(Debug)]
pub(super) struct Reader {
    history: History,
    listener: Listener,
    wanted: Wanted,
    state: Arc<State>,
    /// What is kept of how far it is.
    kept: i64,
}

impl Reader {
    /// Where the sink was; a new one is at the newest record.
    ///
    /// # Errors
    /// When the history cannot be read or written.
    pub async fn open(history: History, wanted: Wanted, state: Arc<State>) -> Result<Self, HistoryError> {
        let (name, newest) = (wanted.sink.clone(), history.newest());
        let place = move |file: &rusqlite::Connection| match query::position(file, &name)? {
            Some(seq) => Ok::<_, HistoryError>(seq),
            None => {
                query::keep_position(file, &name, newest)?;
                Ok(newest)
            }
        };
        let kept = history.change(place).await?;
        state.passed(kept);
        let listener = history.listen(Some(kept));
        Ok(Self { history, listener, wanted, state, kept })
    }

    /// The next record that the sink wants; `None` when the history is closed. May be dropped while it waits.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn next(&mut self) -> Result<Option<Arc<Told>>, HistoryError> {
        loop {
            let next = self.listener.next().await;
            let missed = self.listener.missed();
            if missed > 0 {
                self.state.forgot(missed);
            }
            match next? {
                Some(told) if self.wanted.takes(&told) => return Ok(Some(told)),
                Some(told) => {
                    self.state.passed(told.seq);
                    if told.seq - self.kept >= STEP {
                        self.keep(told.seq).await;
                    }
                }
                None => return Ok(None),
            }
        }
    }

    /// The sink is done with this record and all before it.
    pub async fn done(&mut self, seq: i64) {
        self.state.passed(seq);
        self.keep(seq).await;
    }

    async fn keep(&mut self, seq: i64) {
        let name = self.wanted.sink.clone();
        self.kept = seq;
        let kept = self.history.change(move |file| Ok(query::keep_position(file, &name, seq)?)).await;
        if let Err(error) = kept {
            let sink = &self.wanted.sink;
            tracing::warn!(%sink, %error, "how far it is is not kept; after a restart it is told again");
        }
    }
}
