//! One partition's way out: a thread with a producer whose transactions hold records and the checkpoints they follow from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::FleetError;
use super::client::{Client, Context};
use super::load::load;
use super::member::Member;
use super::record::Kept;
use crate::outbox::Message;
use crate::sink::headers;
use crate::watching::Parcel;

/// Parcels that may wait; each holds the records of one window.
const QUEUE: usize = 64;
/// Parcels of one transaction, and how long it waits for more than the first.
const TOGETHER: usize = 64;
const GATHER: Duration = Duration::from_millis(50);
/// How long one step of a transaction may take before it is tried again.
const STEP: Duration = Duration::from_secs(10);
/// Pauses between tries.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a lane says of itself.
#[derive(Debug)]
pub(crate) enum LaneEvent {
    /// Whoever had the partition before is fenced, and this is what was committed of its streams.
    Open(Opened),
    /// Another daemon has the partition: nothing was told since the last commit.
    Fenced {
        /// Which partition.
        partition: i32,
        /// Which of the lanes that it has had.
        lane: u64,
        /// Records that were not told.
        records: u64,
    },
}

/// What is known of a partition's streams.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Which partition.
    pub partition: i32,
    /// Which of the lanes that it has had.
    pub lane: u64,
    /// Their checkpoints, as they are committed.
    pub kept: BTreeMap<String, Kept>,
    /// The settings in it, by stream, with the number of the record.
    pub settings: BTreeMap<String, (i64, Option<Vec<u8>>)>,
}

/// Sees what is committed. Called on the lane's thread, which may block.
pub(crate) type Seen = dyn Fn(&[Message], &Parcel) + Send + Sync;

/// A partition's way out.
#[derive(Debug)]
pub(crate) struct Lane {
    way: mpsc::Sender<Parcel>,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
    /// What is committed of each stream.
    kept: Arc<Mutex<BTreeMap<String, Kept>>>,
}

impl Lane {
    /// Fences whoever had the partition, reads what is known and says so; then commits what comes.
    pub fn open(
        client: Client,
        member: Arc<Member>,
        (partition, number): (i32, u64),
        events: mpsc::UnboundedSender<LaneEvent>,
        seen: Arc<Seen>,
    ) -> std::io::Result<Self> {
        let (way, parcels) = mpsc::channel(QUEUE);
        let (stop, kept) = (CancellationToken::new(), Arc::default());
        let work = Work {
            number,
            client,
            member,
            partition,
            events,
            seen,
            stop: stop.clone(),
            kept: Arc::clone(&kept),
        };
        let name = format!("fleet-{partition}");
        let thread = std::thread::Builder::new().name(name).spawn(move || work.run(parcels))?;
        Ok(Self { way, stop, thread, kept })
    }

    /// Where its streams put their parcels.
    pub fn way(&self) -> mpsc::Sender<Parcel> {
        self.way.clone()
    }

    /// What is committed of a stream.
    pub fn kept(&self, stream: &str) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned()
    }

    /// Tries no longer what the brokers do not take, and takes nothing more.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Commits what it has been given, and ends. Blocks for `patience` at most; what is not committed by then is not told.
    pub fn close(self, patience: Duration) {
        let Self { way, stop, thread, .. } = self;
        drop(way);
        let deadline = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        // One that still waits for the brokers ends by itself.
        stop.cancel();
    }
}

/// The lane's thread.
struct Work {
    number: u64,
    client: Client,
    member: Arc<Member>,
    partition: i32,
    events: mpsc::UnboundedSender<LaneEvent>,
    seen: Arc<Seen>,
    stop: CancellationToken,
    kept: Arc<Mutex<BTreeMap<String, Kept>>>,
}

/// Why a transaction was not committed.
enum Failed {
    /// Another has the partition, or may have.
    Fenced(String),
    /// Try again.
    Again(String),
}

impl Work {
    fn run(self, mut parcels: mpsc::Receiver<Parcel>) {
        let Some((producer, opened)) = self.begin() else { return };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&opened.kept);
        let _gone = self.events.send(LaneEvent::Open(opened));
        while let Some(first) = parcels.blocking_recv() {
            let mut batch = vec![first];
            let gathered = Instant::now();
            while batch.len() < TOGETHER && gathered.elapsed() < GATHER {
                match parcels.try_recv() {
                    Ok(parcel) => batch.push(parcel),
                    Err(mpsc::error::TryRecvError::Empty) => std::thread::sleep(GATHER / 10),
                    Err(mpsc::error::TryRecvError::Disconnected) => break,
                }
            }
            if let Err(why) = self.persist(&producer, &batch) {
                let rest = std::iter::from_fn(|| parcels.try_recv().ok());
                let lost = batch.into_iter().chain(rest).map(|parcel| parcel.records.len() as u64).sum();
                let partition = self.partition;
                tracing::warn!(partition, records = lost, why, "what was not committed is not told");
                let _gone =
                    self.events.send(LaneEvent::Fenced { partition, lane: self.number, records: lost });
                return;
            }
        }
    }

    /// A producer that has fenced the others, and what they committed. `None` when the lane is stopped first.
    fn begin(&self) -> Option<(BaseProducer<Context>, Opened)> {
        let mut pause = PAUSE;
        while !self.stop.is_cancelled() {
            match self.try_begin() {
                Ok(begun) => return Some(begun),
                Err(error) => {
                    tracing::warn!(partition = self.partition, %error, "a partition cannot be opened; trying again")
                }
            }
            self.rest(&mut pause);
        }
        None
    }

    fn try_begin(&self) -> Result<(BaseProducer<Context>, Opened), FleetError> {
        // One that slept through its own exclusion must not fence its successor.
        if !self.member.still_has(self.partition) {
            return Err(self.client.fails(format!("partition {} is not this daemon's", self.partition)));
        }
        let producer = self.client.transactional(self.partition)?;
        producer.init_transactions(STEP * 3).map_err(|error| self.client.says(&error))?;
        let names = &self.client.fleet().topics;
        let state = load(&self.client, &names.state, self.partition, &self.stop)?;
        let settings = load(&self.client, &names.streams, self.partition, &self.stop)?;
        let mut kept = BTreeMap::new();
        for (stream, (_, value)) in state {
            match value.as_deref().map(serde_json::from_slice::<Kept>) {
                Some(Ok(known)) => drop(kept.insert(stream, known)),
                Some(Err(error)) => {
                    tracing::error!(stream, %error, "its checkpoint cannot be read: it begins anew, and events may stay open");
                }
                None => {}
            }
        }
        Ok((producer, Opened { partition: self.partition, lane: self.number, kept, settings }))
    }

    /// Commits parcels, however often it takes.
    fn persist(&self, producer: &BaseProducer<Context>, batch: &[Parcel]) -> Result<(), String> {
        let messages: Vec<Vec<Message>> = batch.iter().map(|parcel| parcel.messages().collect()).collect();
        let (mut pause, mut told) = (PAUSE, false);
        loop {
            match self.commit(producer, batch, &messages) {
                Ok(()) => break,
                Err(Failed::Fenced(why)) => return Err(why),
                Err(Failed::Again(why)) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(partition = self.partition, why, "records wait for the brokers");
                    }
                }
            }
            if self.stop.is_cancelled() {
                return Err("it was stopped while the brokers did not take them".to_owned());
            }
            self.rest(&mut pause);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for known in batch.iter().filter_map(|parcel| parcel.known.as_ref()) {
            match self.kept_of(known) {
                Some(state) => drop(kept.insert(known.stream.to_string(), state)),
                None => drop(kept.remove(known.stream.as_str())),
            }
        }
        drop(kept);
        for (messages, parcel) in messages.iter().zip(batch) {
            (self.seen)(messages, parcel);
        }
        Ok(())
    }

    fn kept_of(&self, known: &crate::watching::Known) -> Option<Kept> {
        let left = known.left.as_ref()?;
        Some(Kept {
            settings: known.settings.clone(),
            member: self.client.member().to_owned(),
            run: left.run,
            checkpoint: left.checkpoint.clone(),
            over: left.over.clone(),
        })
    }

    fn commit(
        &self,
        producer: &BaseProducer<Context>,
        batch: &[Parcel],
        messages: &[Vec<Message>],
    ) -> Result<(), Failed> {
        producer.begin_transaction().map_err(|error| failed(&error))?;
        let done = self.produce(producer, batch, messages).and_then(|()| self.end(producer));
        if let Err(Failed::Again(_)) = &done
            && let Err(error) = producer.abort_transaction(STEP)
            && let Failed::Fenced(why) = failed(&error)
        {
            return Err(Failed::Fenced(why));
        }
        done
    }

    /// Commits what was sent. One that takes long may have been committed: it can only be asked for again.
    fn end(&self, producer: &BaseProducer<Context>) -> Result<(), Failed> {
        loop {
            match producer.commit_transaction(STEP) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(why)) if why.is_retriable() && !why.txn_requires_abort() => {
                    tracing::debug!(
                        partition = self.partition,
                        why = why.string(),
                        "a transaction takes long"
                    );
                    if self.stop.is_cancelled() {
                        return Err(Failed::Fenced(why.string()));
                    }
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    fn produce(
        &self,
        producer: &BaseProducer<Context>,
        batch: &[Parcel],
        messages: &[Vec<Message>],
    ) -> Result<(), Failed> {
        let topics = self.client.topics();
        for message in messages.iter().flatten() {
            let record =
                BaseRecord::to(topics.name(message.topic)).key(&message.key).payload(&message.payload);
            send(producer, record.headers(headers(message)))?;
        }
        // Of each stream the last checkpoint says all.
        let mut last = BTreeMap::new();
        for known in batch.iter().filter_map(|parcel| parcel.known.as_ref()) {
            last.insert(known.stream.as_str(), self.kept_of(known));
        }
        for (stream, kept) in last {
            let value = kept.map(|kept| serde_json::to_vec(&kept)).transpose();
            let value = value.map_err(|error| Failed::Again(error.to_string()))?;
            let mut record: BaseRecord<'_, str, [u8]> =
                BaseRecord::to(&self.client.fleet().topics.state).partition(self.partition).key(stream);
            if let Some(value) = &value {
                record = record.payload(value);
            }
            send(producer, record)?;
        }
        Ok(())
    }

    fn rest(&self, pause: &mut Duration) {
        let until = Instant::now() + *pause;
        while Instant::now() < until && !self.stop.is_cancelled() {
            std::thread::sleep(Duration::from_millis(20));
        }
        *pause = (*pause * 2).min(PAUSE_MAX);
    }
}

/// Hands a record to the library, which may want a moment to make room.
fn send<K: rdkafka::message::ToBytes + ?Sized, P: rdkafka::message::ToBytes + ?Sized>(
    producer: &BaseProducer<Context>,
    record: BaseRecord<'_, K, P>,
) -> Result<(), Failed> {
    let mut record = record;
    let began = Instant::now();
    loop {
        record = match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if began.elapsed() < STEP =>
            {
                back
            }
            Err((error, _)) => return Err(failed(&error)),
        };
        producer.poll(Duration::from_millis(20));
    }
}

/// Whether more tries could help.
fn failed(error: &KafkaError) -> Failed {
    let is_over = match error {
        KafkaError::Transaction(why) => why.is_fatal(),
        other => matches!(
            other.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::ProducerFenced
                    | RDKafkaErrorCode::InvalidProducerEpoch
            )
        ),
    };
    let why = match error {
        KafkaError::Transaction(why) => why.string(),
        other => other.to_string(),
    };
    if is_over { Failed::Fenced(why) } else { Failed::Again(why) }
}
