//! Watches the streams of the partitions that a daemon of a fleet is assigned, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::streams::Streams;
use super::teller::{Shares, tell};
use crate::config::StreamConfig;
use crate::control::Control;
use crate::fleet::{
    Desk, FleetError, Kept, Lane, LaneEvent, Member, Opened, Seen, Setting, Share, Table, digest,
};
use crate::record::Run;
use crate::stream::{StreamId, StreamState};
use crate::watching::{Checkpoint, Known, Parcel, Shift, Ways};

/// How much longer than the streams a lane may take for its last transaction.
const LAST: Duration = Duration::from_secs(10);
/// Pause before a partition that was fenced is opened again, if it is still this daemon's.
const AGAIN: Duration = Duration::from_secs(2);

/// Keeps what is watched in step with what is assigned.
pub(super) struct Keeper {
    desk: Desk,
    member: Arc<Member>,
    streams: Streams,
    ways: Ways,
    control: Arc<Control>,
    seen: Arc<Seen>,
    held: BTreeMap<i32, Held>,
    /// Lanes that were opened, ever.
    lanes: u64,
    /// What is told the others.
    shares: Shares,
    /// What the brokers have assigned and not taken back.
    assigned: BTreeSet<i32>,
    /// The settings that are kept in step with, as the table numbers them.
    settings: u64,
    /// Takes partitions that were fenced some time ago.
    fenced: mpsc::UnboundedSender<i32>,
    events: mpsc::UnboundedSender<LaneEvent>,
}

/// A partition that is this daemon's.
struct Held {
    lane: Lane,
    /// Which of all that were opened.
    number: u64,
    /// Whoever had it before is fenced; only then it is watched.
    is_open: bool,
    /// Its streams as they were begun: which record of the settings, and they.
    begun: BTreeMap<String, (i64, StreamConfig)>,
}

impl Keeper {
    /// Joins the fleet, watches until `stop`, gives everything away and leaves.
    pub async fn run(
        desk: Desk,
        streams: Streams,
        ways: Ways,
        control: Arc<Control>,
        seen: Arc<Seen>,
        stop: CancellationToken,
    ) -> Result<(), FleetError> {
        let leave = CancellationToken::new();
        let (member, mut news) = Member::join(desk.client(), leave.clone())?;
        let (events, mut told) = mpsc::unbounded_channel();
        let (fenced, mut again) = mpsc::unbounded_channel();
        let (member, held) = (Arc::new(member), BTreeMap::new());
        tracing::info!(
            group = desk.group(),
            member = desk.member(),
            partitions = desk.shares(),
            "joining the fleet"
        );
        let mut changes = desk.changes();
        let mut keeper = Self {
            desk,
            member,
            streams,
            ways,
            control,
            seen,
            held,
            lanes: 0,
            shares: Shares::default(),
            events,
            assigned: BTreeSet::new(),
            settings: 0,
            fenced,
        };
        let told_until = CancellationToken::new();
        let telling =
            tell(keeper.desk.clone(), keeper.control.clone(), keeper.shares.clone(), told_until.clone());
        let telling = tokio::spawn(telling);
        loop {
            tokio::select! {
                biased;
                Some(share) = news.recv() => match share {
                    Share::Assigned(partitions) => keeper.take(&partitions),
                    Share::Revoked { partitions, lost, done } => {
                        keeper.give(&partitions, lost).await;
                        drop(done);
                    }
                    Share::Refused(reason) => return Err(keeper.desk.client().fails(reason)),
                    Share::Left => break,
                },
                Some(event) = told.recv() => keeper.hear(event).await,
                Some(partition) = again.recv() => keeper.open_again(partition),
                Ok(()) = changes.changed() => keeper.keep_up().await,
                () = stop.cancelled(), if !leave.is_cancelled() => leave.cancel(),
            }
        }
        told_until.cancel();
        if let Err(error) = telling.await {
            tracing::error!(%error, "what told the others ended");
        }
        Ok(())
    }

    /// Partitions are assigned.
    fn take(&mut self, partitions: &[i32]) {
        if !partitions.is_empty() {
            tracing::info!(?partitions, "assigned");
        }
        self.assigned.extend(partitions);
        partitions.iter().for_each(|partition| self.open(*partition));
    }

    /// A partition was fenced, and the brokers have not taken it back since: whoever fenced it was not to.
    fn open_again(&mut self, partition: i32) {
        if self.assigned.contains(&partition) && !self.held.contains_key(&partition) {
            tracing::warn!(partition, "it was fenced, but is still this daemon's: opening it again");
            self.open(partition);
        }
    }

    fn open(&mut self, partition: i32) {
        self.lanes += 1;
        let number = self.lanes;
        let (client, member) = (self.desk.client().clone(), self.member.clone());
        match Lane::open(client, member, (partition, number), self.events.clone(), self.seen.clone()) {
            Ok(lane) => {
                self.held.insert(partition, Held { lane, number, is_open: false, begun: BTreeMap::new() });
                self.shares.set(partition, []);
            }
            Err(error) => {
                tracing::error!(partition, %error, "a partition cannot be opened: its streams are not watched")
            }
        }
    }

    /// Partitions are taken away: their streams are handed over, or just left when others have them already.
    async fn give(&mut self, partitions: &[i32], lost: bool) {
        tracing::info!(?partitions, lost, "revoked");
        let mut given = Vec::new();
        for partition in partitions {
            self.assigned.remove(partition);
            given.extend(self.held.remove(partition));
            self.shares.remove(*partition);
        }
        join_all(given.into_iter().map(|held| self.hand_over(held, lost))).await;
    }

    async fn hand_over(&self, held: Held, lost: bool) {
        let Held { lane, begun, .. } = held;
        if lost {
            lane.stop();
        }
        let patience = if lost { Duration::ZERO } else { self.desk.client().fleet().hand_over };
        let handed = join_all(begun.keys().map(|id| self.streams.hand_over(id, patience))).await;
        if handed.contains(&false) {
            // A stream may wait for room in a lane whose brokers are away: only its end lets it go.
            lane.stop();
            join_all(begun.keys().map(|id| self.streams.drop_shared(id))).await;
        }
        begun.keys().for_each(|id| self.ways.close(&id.as_str().into()));
        let last = if lost { Duration::ZERO } else { LAST };
        if let Err(error) = tokio::task::spawn_blocking(move || lane.close(last)).await {
            tracing::error!(%error, "closing a lane failed");
        }
    }

    async fn hear(&mut self, event: LaneEvent) {
        match event {
            LaneEvent::Open(Opened { partition, lane, kept, settings }) => {
                let held = self.held.get_mut(&partition).filter(|held| held.number == lane);
                let Some(held) = held else { return };
                held.is_open = true;
                // Who reads everything may not have come so far yet.
                self.desk.learn(|table| {
                    for (id, (offset, value)) in &settings {
                        let newer = table.streams().get(id).is_some_and(|known| known.offset > *offset);
                        if !newer {
                            table.stream(partition, *offset, id, value.as_deref());
                        }
                    }
                });
                let is_wanted = |id: &String| {
                    let partition_of =
                        |table: &Table| table.streams().get(id).map(|setting| setting.partition);
                    self.desk.look(partition_of) == Some(partition)
                };
                let forgotten: Vec<_> = kept.into_iter().filter(|(id, _)| !is_wanted(id)).collect();
                for (id, known) in forgotten {
                    self.forget(partition, &id, Some(known)).await;
                }
                self.reconcile().await;
            }
            LaneEvent::Fenced { partition, lane, records } => {
                self.control.metrics.fenced(records);
                if self.held.get(&partition).is_none_or(|held| held.number != lane) {
                    return;
                }
                let Some(held) = self.held.remove(&partition) else { return };
                self.shares.remove(partition);
                self.hand_over(held, true).await;
                let fenced = self.fenced.clone();
                // The brokers may not have said yet that it is another's.
                tokio::spawn(async move {
                    tokio::time::sleep(AGAIN).await;
                    let _over = fenced.send(partition);
                });
            }
        }
    }

    /// Others tell of themselves every few seconds, settings change seldom.
    async fn keep_up(&mut self) {
        if self.desk.look(Table::settings) != self.settings {
            self.reconcile().await;
        }
    }

    /// Watches what the settings say in the partitions that are open: ends what is not wanted, all at once, and begins what is.
    async fn reconcile(&mut self) {
        let open = self.held.iter().filter(|(_, held)| held.is_open).map(|(partition, _)| *partition);
        let (settings, wanted) = self.desk.look(|table| (table.settings(), table.of_partitions(open)));
        self.settings = settings;
        let mut over = Vec::new();
        for (partition, wanted) in &wanted {
            let Some(held) = self.held.get(partition) else { continue };
            for (id, (offset, before)) in held.begun.clone() {
                match wanted.get(&id).map(|setting| (setting, enabled(setting))) {
                    Some((setting, Some(config))) => {
                        if setting.offset > offset
                            && *config != before
                            && !self.streams.retune_shared(config).await
                        {
                            over.push((*partition, id));
                        } else {
                            self.remember(*partition, &id, setting.offset.max(offset), config);
                        }
                    }
                    _ => over.push((*partition, id)),
                }
            }
        }
        join_all(over.iter().map(|(_, id)| self.end(id))).await;
        for (partition, id) in over {
            self.held.entry(partition).and_modify(|held| drop(held.begun.remove(&id)));
            if wanted.get(&partition).is_some_and(|wanted| !wanted.contains_key(&id)) {
                self.forget(partition, &id, None).await;
            }
        }
        for (partition, wanted) in wanted {
            for (id, setting) in wanted {
                let is_new = self.held.get(&partition).is_some_and(|held| !held.begun.contains_key(&id));
                if let Some(config) = enabled(&setting).filter(|_| is_new) {
                    self.begin(partition, &id, config).await;
                    self.remember(partition, &id, setting.offset, config);
                }
            }
            if let Some(held) = self.held.get(&partition) {
                self.shares.set(partition, held.begun.keys().cloned());
            }
        }
    }

    fn remember(&mut self, partition: i32, id: &str, offset: i64, config: &StreamConfig) {
        if let Some(held) = self.held.get_mut(&partition) {
            held.begun.insert(id.to_owned(), (offset, config.clone()));
        }
    }

    /// Watches a stream, from where another left off if it can be.
    async fn begin(&self, partition: i32, id: &str, config: &StreamConfig) {
        let Some(held) = self.held.get(&partition) else { return };
        let (stream, settings) = (StreamId::from(id), digest(config));
        let kept = held.lane.kept(id);
        let is_same = kept.as_ref().is_some_and(|kept| kept.settings == settings);
        if let Some(reason) = kept.as_ref().and_then(|kept| kept.over.as_ref()).filter(|_| is_same) {
            tracing::info!(%stream, reason, "it is over, and not watched again with the same settings");
            self.control.status.streams.state(id, StreamState::Ended { reason: reason.clone() });
            return;
        }
        let (run, checkpoint) = kept.map_or((None, None), |kept| (kept.run, kept.checkpoint));
        let mut shift = Shift { settings: settings.clone(), run: None, resume: None };
        match checkpoint {
            Some(checkpoint) if config.is_live() && is_same => shift.resume = Some(checkpoint),
            Some(checkpoint) => self.break_off(held, &stream, settings, *checkpoint).await,
            None => {}
        }
        if !config.is_live() {
            let before = match run {
                Some(Run::Replay { interruptions }) => Some(interruptions),
                _ => None,
            };
            shift.run = Some(Run::Replay { interruptions: before.map_or(0, |before| before + 1) });
        }
        self.ways.open(stream.clone(), held.lane.way());
        if let Err(error) = self.streams.begin_shared(config, shift).await {
            tracing::error!(%stream, %error, "it cannot be watched");
            self.control.status.streams.state(id, StreamState::Ended { reason: error.to_string() });
        }
    }

    /// Ends a stream's events, when the windows that wait are answered or have waited long enough.
    async fn end(&self, id: &str) {
        self.streams.end_shared(id, self.desk.client().fleet().hand_over).await;
        self.ways.close(&id.into());
    }

    /// A stream that nobody watches any more: what another left of it is ended, and nothing kept.
    async fn forget(&self, partition: i32, id: &str, known: Option<Kept>) {
        let Some(held) = self.held.get(&partition) else { return };
        let stream = StreamId::from(id);
        if let Some(Kept { settings, checkpoint: Some(checkpoint), .. }) = known {
            self.break_off(held, &stream, settings, *checkpoint).await;
        }
        let known = Known { stream, settings: String::new(), left: None };
        let _fenced = held.lane.way().send(Parcel { known: Some(known), ..Parcel::default() }).await;
    }

    /// Nobody goes on with what another left: its events and its coverage end there.
    async fn break_off(&self, held: &Held, stream: &StreamId, settings: String, checkpoint: Checkpoint) {
        let run = checkpoint.run;
        let records = checkpoint.end(stream, &self.streams.any_track());
        let left = crate::watching::Left { run: Some(run), checkpoint: None, over: None };
        let known = Known { stream: stream.clone(), settings, left: Some(left) };
        let parcel = Parcel { records, known: Some(known), ..Parcel::default() };
        // What cannot be told now, the next one who has the partition tells.
        let _fenced = held.lane.way().send(parcel).await;
    }
}

fn enabled(setting: &Setting) -> Option<&StreamConfig> {
    setting.config.as_deref().ok().filter(|config| config.enabled)
}
