//! Being told: each sink is a task of its own that reads the history from where it is, tells somebody, and keeps how far it
//! has come in the history's file. What it could not tell waits there; so a sink that is down holds up nothing else, and
//! everything is told at least once and in order, over restarts too.

mod backoff;
mod cloud_event;
mod mqtt;
mod reader;
mod state;
mod template;
mod wanted;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use avicuna_pipeline::config::{MqttConfig, WebhookConfig};
use avicuna_pipeline::daemon::Streams;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::backoff::Backoff;
use self::reader::Reader;
pub use self::state::{SinkKind, SinkState, SinkStatus, State};
use self::wanted::Wanted;
use crate::history::{History, HistoryError, Told};
use crate::rulebook::Rulebook;

/// How long what is under way when the daemon ends may take; the rest is told after the next start.
const LEAVE: Duration = Duration::from_secs(2);

/// What held so long does not count as the same trouble again.
const STEADY: Duration = Duration::from_secs(60);

/// Who is to be told.
#[derive(Debug, Clone, Default)]
pub struct TellConfig {
    /// `[[webhook]]`.
    pub webhooks: Vec<WebhookConfig>,
    /// `[[mqtt]]`.
    pub mqtt: Vec<MqttConfig>,
}

/// Why a sink cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// A webhook's secret is no key.
    #[error("webhook \"{name}\": secret: {message}")]
    Secret {
        /// Which.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A broker's address is none.
    #[error("mqtt \"{name}\": broker: it is no address of a broker")]
    Broker {
        /// Which.
        name: String,
    },
    /// How far it is cannot be read or kept.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What became of a record that its receiver answered for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Receipt {
    /// It has it.
    Delivered,
    /// It does not want it, and never will.
    Refused(String),
}

/// A receiver that cannot be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    reason: String,
    /// It asks not to be tried again sooner.
    after: Option<Duration>,
}

impl Trouble {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), after: None }
    }
}

/// A way to tell somebody.
trait Sink: Send {
    /// Tells one record; comes back when the receiver has answered for it.
    fn deliver(&mut self, told: &Told) -> impl Future<Output = Result<Receipt, Trouble>> + Send;

    /// Does what there is to do while nothing is to be told. Ends when there is trouble; may be dropped at any time.
    fn idle(&mut self) -> impl Future<Output = Trouble> + Send;

    /// Says goodbye.
    fn leave(&mut self) -> impl Future<Output = ()> + Send;
}

/// A sink and what it is to tell.
#[derive(Debug)]
struct Teller<S> {
    sink: S,
    reader: Reader,
    state: Arc<State>,
}

/// Everybody who is told.
#[derive(Debug, Default)]
pub struct Tell {
    webhooks: Vec<Teller<webhook::Webhook>>,
    brokers: Vec<Teller<mqtt::Broker>>,
    states: Vec<Arc<State>>,
}

impl Tell {
    /// Sets every sink up where it was. One that is new begins with what happens from now on.
    ///
    /// # Errors
    /// When a sink cannot be, or the history cannot be read.
    pub async fn open(
        config: &TellConfig,
        history: &History,
        rules: &Rulebook,
        streams: &Streams,
    ) -> Result<Self, TellError> {
        let mut tell = Self::default();
        for webhook in &config.webhooks {
            let wanted = Wanted::new(&webhook.name, &webhook.send, &webhook.rules, &webhook.streams);
            let state = Arc::new(State::new(SinkKind::Webhook, wanted.clone(), webhook.shown_url()));
            let sink = webhook::Webhook::new(webhook)?;
            let reader = Reader::open(history.clone(), wanted, state.clone()).await?;
            tell.states.push(state.clone());
            tell.webhooks.push(Teller { sink, reader, state });
        }
        for broker in &config.mqtt {
            let wanted = Wanted::new(&broker.name, &broker.send, &broker.rules, &broker.streams);
            let state = Arc::new(State::new(SinkKind::Mqtt, wanted.clone(), broker.shown_broker()));
            let (rules, streams) = (rules.clone(), streams.clone());
            let sink = mqtt::Broker::open(broker, rules, streams, state.clone(), history.clone()).await?;
            let reader = Reader::open(history.clone(), wanted, state.clone()).await?;
            tell.states.push(state.clone());
            tell.brokers.push(Teller { sink, reader, state });
        }
        Ok(tell)
    }

    /// How the sinks are; shared.
    pub fn states(&self) -> Vec<Arc<State>> {
        self.states.clone()
    }

    /// Tells until `stop`, and then for a moment what is left.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for teller in self.webhooks {
            tasks.spawn(teller.run(stop.clone()));
        }
        for teller in self.brokers {
            tasks.spawn(teller.run(stop.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a sink's task failed; it is told again after a restart");
            }
        }
    }
}

impl<S: Sink> Teller<S> {
    async fn run(mut self, stop: CancellationToken) {
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(LEAVE).await;
        };
        tokio::select! {
            () = self.tell(&stop) => {}
            () = deadline => {}
        }
        if tokio::time::timeout(LEAVE, self.sink.leave()).await.is_err() {
            tracing::debug!(sink = self.state.name(), "it did not hear the goodbye");
        }
    }

    async fn tell(&mut self, stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let trouble = tokio::select! {
                biased;
                next = self.reader.next() => match next {
                    Ok(Some(told)) => {
                        self.insist(&told, &mut backoff).await;
                        self.reader.done(told.seq).await;
                        continue;
                    }
                    Ok(None) => return,
                    Err(error) => Trouble::new(format!("the history cannot be read: {error}")),
                },
                () = stop.cancelled() => return,
                trouble = self.sink.idle() => trouble,
            };
            self.state.down(&trouble.reason);
            if began.elapsed() > STEADY {
                backoff.reset();
            }
            tokio::select! {
                () = backoff.wait(trouble.after) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Tries until the receiver has answered for the record.
    async fn insist(&mut self, told: &Told, backoff: &mut Backoff) {
        loop {
            match self.sink.deliver(told).await {
                Ok(outcome) => {
                    backoff.reset();
                    self.state.answered(&outcome);
                    return;
                }
                Err(trouble) => {
                    self.state.down(&trouble.reason);
                    backoff.wait(trouble.after).await;
                }
            }
        }
    }
}
