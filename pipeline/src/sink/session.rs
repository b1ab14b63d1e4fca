//! The life of one courier: reads the outbox in order, keeps many messages in flight, tells the outbox what was
//! acknowledged, and ends at the first failure. The next session starts at the first message that was not acknowledged.

mod connection;

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc::UnboundedReceiver, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::courier::Courier;
use super::lane::{Lane, PAUSE, Search};
use super::report::{Failure, NotSent, Note};
use crate::outbox::{Message, Verdict};
use crate::timeline::UtcTime;

/// Messages without a report; with [`CHUNK_BYTES`] it bounds the memory of an outage.
const WINDOW: usize = 10_000;
/// Bytes of payload without a report.
const WINDOW_BYTES: usize = 16 << 20;
/// Messages and bytes read from the outbox at a time.
const CHUNK: usize = 1_000;
const CHUNK_BYTES: u64 = 4 << 20;
/// How long acknowledgements are gathered for one transaction of the outbox, and how many.
const GATHER: Duration = Duration::from_millis(20);
const GATHERED: usize = 2_000;
/// How often the connection is thought about.
const TICK: Duration = Duration::from_secs(1);
/// How long a shutdown waits for reports that are under way; without them those messages would be sent twice.
const PARTING: Duration = Duration::from_secs(2);
/// How long a shutdown waits for the outbox to write down what was decided; while its disk fails that may take for ever.
const WRITTEN: Duration = Duration::from_secs(2);

/// Why a session ended.
pub(super) enum End {
    Shutdown,
    /// Start again at once.
    Again,
    /// Start again after a pause.
    Trouble(String),
}

/// The life of one courier.
pub(super) struct Session<'l> {
    lane: &'l mut Lane,
    courier: Arc<Courier>,
    notes: UnboundedReceiver<Note>,
    appended: watch::Receiver<u64>,
    /// The outbox may hold more than was read.
    more: bool,
    /// Read and not sent yet.
    ready: VecDeque<(u64, Message)>,
    in_flight: BTreeMap<u64, Message>,
    bytes_in_flight: usize,
    /// Decided and not told the outbox yet.
    verdicts: Vec<(u64, Verdict)>,
    first_verdict: Instant,
    settling: Option<oneshot::Receiver<()>>,
    /// Refused together with others.
    refused: Vec<u64>,
    /// The last report, or the last time that nothing was in flight.
    heard: Instant,
    /// What the client complained about since, and when.
    complaint: Option<(Instant, String)>,
}

impl<'l> Session<'l> {
    pub fn new(lane: &'l mut Lane, courier: Courier, notes: UnboundedReceiver<Note>) -> Self {
        let (appended, now) = (lane.outbox.watch(), Instant::now());
        Self {
            lane,
            courier: Arc::new(courier),
            notes,
            appended,
            more: true,
            ready: VecDeque::new(),
            in_flight: BTreeMap::new(),
            bytes_in_flight: 0,
            verdicts: Vec::new(),
            first_verdict: now,
            settling: None,
            refused: Vec::new(),
            heard: now,
            complaint: None,
        }
    }

    /// Until something fails or `shutdown`; call [`Session::close`] then.
    pub async fn run(&mut self, shutdown: &CancellationToken) -> End {
        match self.connect(shutdown).await {
            ControlFlow::Continue(()) => self.deliver(shutdown).await,
            ControlFlow::Break(end) => end,
        }
    }

    async fn deliver(&mut self, shutdown: &CancellationToken) -> End {
        let mut tick = tokio::time::interval(TICK);
        let mut notes = Vec::with_capacity(1024);
        self.heard = Instant::now();
        loop {
            if let Err(end) = self.fill().await {
                return end;
            }
            self.settle_gathered();
            tokio::select! {
                // Reports first: they make room.
                biased;
                () = shutdown.cancelled() => return self.part().await,
                count = self.notes.recv_many(&mut notes, 1024) => {
                    if count == 0 {
                        return End::Trouble("the client has ended".into());
                    }
                    for note in notes.drain(..) {
                        if let Some(end) = self.note(note) {
                            return end;
                        }
                    }
                }
                settled = answer(&mut self.settling), if self.settling.is_some() => {
                    self.settling = None;
                    if settled.is_err() {
                        return End::Trouble("the outbox has been closed".into());
                    }
                }
                () = sleep(GATHER.saturating_sub(self.first_verdict.elapsed())),
                    if self.settling.is_none() && !self.verdicts.is_empty() => {}
                appended = self.appended.changed(), if !self.more => {
                    if appended.is_err() {
                        return End::Trouble("the outbox has been closed".into());
                    }
                    self.more = true;
                }
                _ = tick.tick() => self.watch_connection().await,
            }
        }
    }

    /// Sends what the window has room for.
    async fn fill(&mut self) -> Result<(), End> {
        loop {
            while let Some((number, message)) = self.ready.pop_front() {
                let is_full = self.in_flight.len() >= WINDOW || self.bytes_in_flight >= WINDOW_BYTES;
                if is_full || self.verdicts.len() >= WINDOW || !self.search_lets_pass(number) {
                    self.ready.push_front((number, message));
                    return Ok(());
                }
                match self.courier.send(number, &message) {
                    Ok(()) => self.sent(number, message),
                    Err(NotSent::Failed(Failure::Refused { reason, code })) => {
                        self.refuse(number, &message, reason, &code.to_string());
                    }
                    Err(not_sent) => {
                        self.ready.push_front((number, message));
                        match not_sent {
                            NotSent::Full => return Ok(()),
                            NotSent::Failed(failure) => return Err(End::Trouble(self.explain(failure))),
                        }
                    }
                }
            }
            if !self.more {
                return Ok(());
            }
            self.appended.mark_unchanged();
            let (outbox, topic, cursor) = (self.lane.outbox.clone(), self.lane.topic, self.lane.cursor);
            let read = spawn_blocking(move || outbox.read(topic, cursor, CHUNK, CHUNK_BYTES)).await;
            let read = match read {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return Err(End::Trouble(error.to_string())),
                Err(error) => return Err(End::Trouble(error.to_string())),
            };
            match read.last() {
                Some((last, _)) => self.lane.cursor = last + 1,
                None => self.more = false,
            }
            self.ready.extend(read);
        }
    }

    fn sent(&mut self, number: u64, message: Message) {
        if self.in_flight.is_empty() {
            self.heard = Instant::now();
        }
        if let Some(search) = &mut self.lane.search {
            search.room -= 1;
        }
        self.bytes_in_flight += message.payload.len();
        self.in_flight.insert(number, message);
    }

    fn note(&mut self, note: Note) -> Option<End> {
        let (number, outcome) = match note {
            Note::Report(number, outcome) => (number, outcome),
            Note::Complaint(code, raw) => {
                self.complain(code, &raw);
                return None;
            }
        };
        match outcome {
            Ok(()) => {
                self.acknowledge(number);
                None
            }
            Err(Failure::Refused { reason, code }) if self.in_flight.len() == 1 => {
                let message = self.take(number)?;
                self.lane.search = None;
                self.refuse(number, &message, reason, &code.to_string());
                // The producer stops at any failure; a new one goes on behind it.
                Some(End::Again)
            }
            // Its report is looked at again with the others of its batch, in `close`.
            Err(Failure::Refused { .. }) => {
                self.refused.push(number);
                Some(End::Again)
            }
            Err(failure) => Some(End::Trouble(self.explain(failure))),
        }
    }

    fn acknowledge(&mut self, number: u64) {
        let Some(message) = self.take(number) else { return };
        (self.lane.on_ack)(&message, UtcTime::now());
        self.decide(number, Verdict::Delivered);
        self.lane.pause = PAUSE;
        self.complaint = None;
        self.lane.board.up(self.lane.topic);
    }

    fn take(&mut self, number: u64) -> Option<Message> {
        let message = self.in_flight.remove(&number)?;
        self.bytes_in_flight -= message.payload.len();
        self.heard = Instant::now();
        Some(message)
    }

    /// Whether a search allows this message to be sent now.
    fn search_lets_pass(&mut self, number: u64) -> bool {
        let Some(search) = &mut self.lane.search else { return true };
        if self.in_flight.is_empty() {
            if number > search.last {
                self.lane.search = None;
                return true;
            }
            search.room = search.group;
        }
        search.room > 0 && number <= search.last
    }

    fn refuse(&mut self, number: u64, message: &Message, reason: &'static str, why: &str) {
        let Message { key, ce_id, payload, .. } = message;
        let topic = self.lane.topic.word();
        tracing::error!(
            topic,
            key,
            ce_id,
            bytes = payload.len(),
            reason,
            why,
            "a message is refused for good and dropped"
        );
        self.decide(number, Verdict::Refused(reason));
    }

    fn decide(&mut self, number: u64, verdict: Verdict) {
        if self.verdicts.is_empty() {
            self.first_verdict = Instant::now();
        }
        self.verdicts.push((number, verdict));
    }

    /// Tells the outbox, unless it still writes down what it was told before or more is about to come.
    fn settle_gathered(&mut self) {
        let is_time = self.verdicts.len() >= GATHERED || self.first_verdict.elapsed() >= GATHER;
        if self.settling.is_none() && !self.verdicts.is_empty() && is_time {
            self.settling =
                Some(self.lane.outbox.settle(self.lane.topic, std::mem::take(&mut self.verdicts)));
        }
    }

    /// Waits a moment for the reports that are under way.
    async fn part(&mut self) -> End {
        let patience = if self.complaint.is_some() { Duration::ZERO } else { PARTING };
        let reports = async {
            while !self.in_flight.is_empty() {
                match self.notes.recv().await {
                    Some(Note::Report(number, Ok(()))) => self.acknowledge(number),
                    Some(Note::Complaint(..)) => {}
                    Some(Note::Report(_, Err(_))) | None => break,
                }
            }
        };
        // What is not reported by then stays in the outbox.
        let _late = timeout(patience, reports).await;
        End::Shutdown
    }

    /// Ends the courier, writes down what is known, and leaves the cursor at the first message that is not delivered. The last session does
    /// not wait for a disk that fails.
    pub async fn close(self, is_last: bool) {
        let Self { lane, courier, mut notes, in_flight, mut verdicts, mut refused, settling, ready, .. } =
            self;
        let ended = spawn_blocking(move || {
            // The last probe may still hold it for a moment.
            let mut courier = courier;
            loop {
                match Arc::try_unwrap(courier) {
                    Ok(courier) => return courier.abandon(),
                    Err(shared) => courier = shared,
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "ending a client failed");
        }
        let mut undelivered = in_flight;
        while let Ok(note) = notes.try_recv() {
            match note {
                Note::Report(number, Ok(())) => {
                    let Some(message) = undelivered.remove(&number) else { continue };
                    (lane.on_ack)(&message, UtcTime::now());
                    verdicts.push((number, Verdict::Delivered));
                }
                Note::Report(number, Err(Failure::Refused { .. })) => refused.push(number),
                Note::Report(..) | Note::Complaint(..) => {}
            }
        }
        if let Some(last) = refused.iter().max().copied() {
            let group = (refused.len() / 2).max(1);
            lane.search = Some(Search { last, group, room: group });
        }
        // Before anything is read again, or it would be sent again.
        let written = async {
            if let Some(settling) = settling {
                let _outbox_closed = settling.await;
            }
            if !verdicts.is_empty() {
                let _outbox_closed = lane.outbox.settle(lane.topic, verdicts).await;
            }
        };
        let patience = if is_last { WRITTEN } else { Duration::MAX };
        if timeout(patience, written).await.is_err() {
            let topic = lane.topic.word();
            tracing::warn!(
                topic,
                "what was delivered last cannot be written down; the next start delivers it once more, with the same ce_id"
            );
        }
        let first_ready = ready.front().map(|(number, _)| *number);
        let first_in_flight = undelivered.first_key_value().map(|(number, _)| *number);
        lane.cursor = [first_ready, first_in_flight].into_iter().flatten().min().unwrap_or(lane.cursor);
    }
}

/// What the outbox answers; never, when it was not asked.
async fn answer(settling: &mut Option<oneshot::Receiver<()>>) -> Result<(), oneshot::error::RecvError> {
    match settling {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}
