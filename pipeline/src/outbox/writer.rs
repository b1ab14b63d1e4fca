//! The one thread that changes the file. Everything that waits when a transaction begins goes into it, so that many
//! callers share one sync (group commit).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::admission::{Admission, Append};
use super::runs::Begun;
use super::store::{Ledger, Store};
use super::{Accounting, Appended, OutboxConfig, OutboxError, Topic, Trouble, Verdict, WhenFull, reason};
use crate::timeline::UtcTime;

/// Messages after which a transaction takes no more callers in; bounds its memory and its time.
const GROUP: usize = 8192;
/// How long to wait before a failing disk is tried again; doubles up to [`RETRY_MAX`], for opening the file again reads
/// all of it.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(super) enum Request {
    Append(Append),
    Settle(Settle),
    Begin(Begin),
    /// From now on nothing waits for room.
    StopWaiting,
}

pub(super) struct Settle {
    pub topic: Topic,
    pub settled: Vec<(u64, Verdict)>,
    pub reply: oneshot::Sender<()>,
}

/// A run of a recording begins.
pub(super) struct Begin {
    pub recording: String,
    /// Dropped when the run cannot be written down.
    pub reply: oneshot::Sender<Begun>,
}

/// What everybody may look at.
pub(super) struct Board {
    pub accounting: watch::Sender<Accounting>,
    /// While the file cannot be written.
    pub trouble: watch::Sender<Option<Trouble>>,
    /// Number of the next message; changes when messages were stored.
    pub next: watch::Sender<u64>,
}

pub(super) struct Writer {
    store: Arc<Store>,
    board: Arc<Board>,
    max_bytes: u64,
    when_full: WhenFull,
    ledger: Ledger,
    /// The counters have changed in memory only: messages were given up while the disk failed.
    is_ahead: bool,
    appends: VecDeque<Append>,
    settles: Vec<Settle>,
    begins: Vec<Begin>,
    may_wait: bool,
    failing: Option<Failing>,
    uncertain: Option<Uncertain>,
}

/// A transaction failed and the file could not be opened since: nobody knows whether it is on disk.
struct Uncertain {
    /// The counters before it.
    before: Ledger,
    /// What becomes of the waiting appends if it is; empty once they were given up.
    outcomes: Vec<(usize, Appended)>,
}

/// The disk fails.
struct Failing {
    since: Instant,
    pause: Duration,
    next_try: Instant,
    reason: &'static str,
}

impl Writer {
    pub fn new(store: Arc<Store>, board: Arc<Board>, config: &OutboxConfig, ledger: Ledger) -> Self {
        let OutboxConfig { max_bytes, when_full, .. } = *config;
        let (appends, settles, begins) = (VecDeque::new(), Vec::new(), Vec::new());
        Self {
            store,
            board,
            max_bytes,
            when_full,
            ledger,
            is_ahead: false,
            appends,
            settles,
            begins,
            may_wait: true,
            failing: None,
            uncertain: None,
        }
    }

    /// Works until every handle of the outbox is gone.
    pub fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let next = match &self.failing {
                // What waits is tried again; with nothing to write nobody can tell whether it would work.
                Some(failing) if self.has_work() => {
                    requests.recv_timeout(failing.next_try.saturating_duration_since(Instant::now()))
                }
                _ => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(request) => self.take(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while self.waiting() < GROUP
                && let Ok(request) = requests.try_recv()
            {
                self.take(request);
            }
            self.commit();
        }
        self.may_wait = false;
        self.commit();
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Append(append) => self.appends.push_back(append),
            Request::Settle(settle) => self.settles.push(settle),
            Request::Begin(begin) => self.begins.push(begin),
            Request::StopWaiting => self.may_wait = false,
        }
    }

    fn waiting(&self) -> usize {
        let appends = self.appends.iter().map(|append| append.messages.len()).sum::<usize>();
        appends + self.settles.iter().map(|settle| settle.settled.len()).sum::<usize>()
    }

    fn has_work(&self) -> bool {
        let asked = !self.appends.is_empty() || !self.settles.is_empty() || !self.begins.is_empty();
        asked || self.is_ahead || self.uncertain.is_some()
    }

    fn commit(&mut self) {
        if !self.has_work() {
            return;
        }
        if self.failing.as_ref().is_some_and(|failing| Instant::now() < failing.next_try) {
            return self.do_without();
        }
        if let Some(uncertain) = self.uncertain.take() {
            match self.store.reopen() {
                Ok(on_disk) => self.reconcile(uncertain, on_disk),
                Err(error) => {
                    self.uncertain = Some(uncertain);
                    return self.postpone(&error);
                }
            }
        }
        let admission =
            Admission { max_bytes: self.max_bytes, when_full: self.when_full, may_wait: self.may_wait };
        let mut outcomes = Vec::with_capacity(self.appends.len());
        // Taken: who asks is not kept waiting by a disk that fails.
        let begins = std::mem::take(&mut self.begins);
        let mut begun = Vec::with_capacity(begins.len());
        let changed = self.store.change(&self.ledger, self.is_ahead, |change| {
            for Settle { topic, settled, .. } in &self.settles {
                for (number, verdict) in settled {
                    match verdict {
                        Verdict::Delivered => change.acknowledge(*topic, *number)?,
                        Verdict::Refused(reason) => change.give_up(*topic, *number, reason)?,
                    }
                }
            }
            for append in &self.appends {
                let (done, outcome) = admission.admit(change, append)?;
                outcomes.push((done, outcome));
                if done < append.messages.len() {
                    // Those behind wait too, or they would overtake it.
                    break;
                }
                for whole in &append.whole {
                    change.end(whole)?;
                }
            }
            for Begin { recording, .. } in &begins {
                begun.push(change.begin(recording)?);
            }
            Ok(())
        });
        match changed {
            Ok(ledger) => {
                for (Begin { reply, .. }, begun) in begins.into_iter().zip(begun) {
                    let _gone = reply.send(begun);
                }
                self.committed(ledger, outcomes);
            }
            Err(error) => self.failed(error, outcomes),
        }
    }

    fn committed(&mut self, ledger: Ledger, outcomes: Vec<(usize, Appended)>) {
        self.is_ahead = false;
        // A full disk may have room for the counters and not for messages: only those prove that it works.
        if !outcomes.is_empty()
            && let Some(failing) = self.failing.take()
        {
            tracing::info!(
                after_s = failing.since.elapsed().as_secs_f64(),
                "the outbox can be written again"
            );
            self.board.trouble.send_replace(None);
        }
        self.publish(ledger);
        for Settle { reply, .. } in self.settles.drain(..) {
            // Whoever does not wait for the answer does not need it.
            let _gone = reply.send(());
        }
        for (done, outcome) in outcomes {
            let Some(append) = self.appends.front_mut() else { break };
            (append.done, append.outcome) = (done, outcome);
            if done == append.messages.len()
                && let Some(append) = self.appends.pop_front()
            {
                let _gone = append.reply.send(Ok(append.outcome));
            }
        }
        if self.ledger.accounting.spooled == 0
            && self.failing.is_none()
            && let Err(error) = self.store.shrink()
        {
            // The next transaction finds out whether the file can still be written.
            tracing::warn!(%error, "the emptied outbox could not be shrunk");
        }
    }

    fn publish(&mut self, ledger: Ledger) {
        self.ledger = ledger;
        self.board.accounting.send_replace(self.ledger.accounting.clone());
        let next = self.ledger.next;
        self.board.next.send_if_modified(|seen| std::mem::replace(seen, next) != next);
    }

    /// The file is as it was before, or, when the failure came after the last step of the commit, as it should be.
    fn failed(&mut self, error: OutboxError, outcomes: Vec<(usize, Appended)>) {
        match self.store.reopen() {
            Ok(on_disk) if on_disk.changes > self.ledger.changes => return self.committed(on_disk, outcomes),
            Ok(_) => {}
            Err(_) => self.uncertain = Some(Uncertain { before: self.ledger.clone(), outcomes }),
        }
        self.postpone(&error);
    }

    /// The file is open again, and what was uncertain is known.
    fn reconcile(&mut self, uncertain: Uncertain, on_disk: Ledger) {
        let Uncertain { before, outcomes } = uncertain;
        if on_disk.changes == before.changes {
            return;
        }
        // Messages that were given up meanwhile are counted in memory only; those of the transaction are not lost after
        // all.
        let given_up = self.ledger.accounting.produced - before.accounting.produced;
        let of_it = on_disk.accounting.produced - before.accounting.produced;
        let mut ledger = on_disk;
        if let Some(lost) = given_up.checked_sub(of_it).filter(|lost| *lost > 0) {
            let reason = self.failing.as_ref().map_or(reason::DISK_FAILED, |failing| failing.reason);
            ledger.accounting.produced += lost;
            *ledger.accounting.dropped.entry(reason.to_owned()).or_default() += lost;
        }
        let is_ahead = self.is_ahead;
        self.committed(ledger, outcomes);
        self.is_ahead = is_ahead;
    }

    /// Tries again later.
    fn postpone(&mut self, error: &OutboxError) {
        let reason = match error {
            OutboxError::DiskFull { .. } => reason::DISK_FULL,
            _ => reason::DISK_FAILED,
        };
        let now = Instant::now();
        let failing = self.failing.get_or_insert_with(|| {
            let consequence = match self.when_full {
                WhenFull::Block if self.may_wait => "everything waits until it can",
                _ => "new messages are dropped and counted until it can",
            };
            tracing::error!(%error, "the outbox cannot be written; {consequence}");
            let trouble = Trouble { since: UtcTime::now(), reason: format!("{error}; {consequence}") };
            self.board.trouble.send_replace(Some(trouble));
            Failing { since: now, pause: RETRY / 2, next_try: now, reason }
        });
        failing.pause = (failing.pause * 2).min(RETRY_MAX);
        failing.next_try = now + failing.pause;
        failing.reason = reason;
        self.do_without();
    }

    /// What happens to new messages while the disk fails.
    fn do_without(&mut self) {
        let Some(Failing { reason, .. }) = self.failing else { return };
        self.begins.clear();
        if self.when_full == WhenFull::Block && self.may_wait {
            return;
        }
        // Counted in memory; the next transaction that succeeds writes the counters down.
        let mut ledger = self.ledger.clone();
        let appends = std::mem::take(&mut self.appends);
        if let Some(uncertain) = &mut self.uncertain {
            uncertain.outcomes.clear();
        }
        for append in &appends {
            ledger.accounting.produced += append.left();
            *ledger.accounting.dropped.entry(reason.to_owned()).or_default() += append.left();
        }
        self.is_ahead |= !appends.is_empty();
        self.publish(ledger);
        for append in appends {
            let outcome = Appended { dropped: append.outcome.dropped + append.left(), ..append.outcome };
            let _gone = append.reply.send(Ok(outcome));
        }
    }
}
