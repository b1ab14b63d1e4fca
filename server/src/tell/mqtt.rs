//! Publishes records over MQTT, and tells Home Assistant of streams and rules.

mod connection;
mod discovery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use avicuna_pipeline::config::MqttConfig;
use avicuna_pipeline::daemon::Streams;
use tokio::time::Instant;

use self::connection::{Address, Connection};
use super::{Receipt, Sink, State, TellError, Trouble};
use crate::history::{History, HistoryError, Told, What, query};
use crate::rulebook::Rulebook;

/// How often it is looked whether streams and rules have changed.
const LOOK: Duration = Duration::from_secs(5);

/// What the topic of availability holds.
const ONLINE: &str = "online";
const OFFLINE: &str = "offline";

/// A message of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Post {
    topic: String,
    payload: String,
    /// The broker keeps it for those who come later.
    retain: bool,
}

/// Publishes to one broker.
#[derive(Debug)]
pub(super) struct Broker {
    config: MqttConfig,
    address: Address,
    rules: Rulebook,
    streams: Streams,
    state: Arc<State>,
    /// Remembers what the broker keeps over restarts: what goes while nobody is connected must be taken back too.
    history: History,
    connection: Option<Connection>,
    /// What the broker keeps for Home Assistant, by topic; `None` where an earlier connection said it.
    announced: BTreeMap<String, Option<String>>,
    look: Instant,
}

impl Broker {
    /// # Errors
    /// When the broker's address is none, or the history cannot be read.
    pub async fn open(
        config: &MqttConfig,
        rules: Rulebook,
        streams: Streams,
        state: Arc<State>,
        history: History,
    ) -> Result<Self, TellError> {
        let (tls, host, port) =
            config.address().ok_or_else(|| TellError::Broker { name: config.name.clone() })?;
        let name = config.name.clone();
        let announced = history.read(move |file| Ok(query::announced(file, &name)?)).await?;
        let announced = announced.into_iter().map(|topic| (topic, None)).collect();
        let (config, look) = (config.clone(), Instant::now());
        let address = Address { tls, host, port };
        Ok(Self { config, address, rules, streams, state, history, connection: None, announced, look })
    }

    fn available(&self) -> String {
        format!("{}/available", self.config.prefix)
    }

    fn post(&self, told: &Told) -> Post {
        let (stream, payload) = (level(&told.stream), told.payload.clone());
        let topic = match told.what {
            What::Stream => "status",
            _ => told.what.kind().topic(),
        };
        let retain = told.what == What::Stream;
        Post { topic: format!("{}/{stream}/{topic}", self.config.prefix), payload, retain }
    }

    /// The connection; a new one says that it is there, and tells Home Assistant of everything.
    async fn connected(&mut self) -> Result<&mut Connection, Trouble> {
        if self.connection.is_none() {
            let will = Post { topic: self.available(), payload: OFFLINE.to_owned(), retain: true };
            let login = self.config.username.clone().map(|name| (name, self.config.password.clone()));
            let client = format!("avicuna-{}", self.config.name);
            let mut connection = Connection::open(&self.address, client, login, &will).await?;
            connection.publish(Post { payload: ONLINE.to_owned(), ..will }).await?;
            // The broker may have lost what it kept.
            self.announced.values_mut().for_each(|said| *said = None);
            self.connection = Some(connection);
            self.state.up();
            self.announce().await?;
        }
        self.connection.as_mut().ok_or_else(|| Trouble::new("it is not connected"))
    }

    /// Tells Home Assistant what has changed.
    async fn announce(&mut self) -> Result<(), Trouble> {
        self.look = Instant::now() + LOOK;
        let entities = self.entities();
        let Some(connection) = self.connection.as_mut() else { return Ok(()) };
        let gone: Vec<String> =
            self.announced.keys().filter(|topic| !entities.contains_key(*topic)).cloned().collect();
        for topic in gone {
            // An empty message takes back what the broker kept.
            connection.publish(Post { topic: topic.clone(), payload: String::new(), retain: true }).await?;
            self.announced.remove(&topic);
            remember(&self.history, &self.config.name, topic, query::forget_announced).await;
        }
        for (topic, payload) in entities {
            let said = self.announced.get(&topic);
            if said.is_some_and(|said| said.as_ref() == Some(&payload)) {
                continue;
            }
            if said.is_none() {
                // Before it is said: what is only remembered is taken back once too often, which hurts nobody.
                remember(&self.history, &self.config.name, topic.clone(), query::keep_announced).await;
            }
            let post = Post { topic: topic.clone(), payload: payload.clone(), retain: true };
            connection.publish(post).await?;
            self.announced.insert(topic, Some(payload));
        }
        Ok(())
    }

    /// What Home Assistant is to know: topic and message.
    fn entities(&self) -> BTreeMap<String, String> {
        if !self.config.discovery {
            return BTreeMap::new();
        }
        let wanted = |id: &String| self.config.streams.is_empty() || self.config.streams.contains(id);
        let streams = self.streams.list().into_iter().map(|listed| listed.config.id).filter(wanted);
        let aimed = |(id, rule): &(String, crate::rules::Rule)| {
            let among = |list: &[String], one: &String| list.is_empty() || list.contains(one);
            among(&self.config.rules, id) && among(&rule.targets, &self.config.name)
        };
        let rules = self.rules.list().into_iter().filter(aimed).map(|(id, _)| id);
        discovery::entities(&self.config.prefix, &self.config.send, streams, rules)
    }

    async fn tell(&mut self, post: Post) -> Result<(), Trouble> {
        self.connected().await?.publish(post).await
    }

    /// Keeps the connection alive and Home Assistant informed.
    async fn attend(&mut self) -> Result<(), Trouble> {
        self.connected().await?;
        if self.look <= Instant::now() {
            self.announce().await?;
        }
        let look = self.look;
        self.connected().await?.rest(look).await
    }
}

impl Sink for Broker {
    async fn deliver(&mut self, told: &Told) -> Result<Receipt, Trouble> {
        let told = self.tell(self.post(told)).await;
        if told.is_err() {
            self.connection = None;
        }
        told.map(|()| Receipt::Delivered)
    }

    async fn idle(&mut self) -> Trouble {
        loop {
            if let Err(trouble) = self.attend().await {
                self.connection = None;
                return trouble;
            }
        }
    }

    async fn leave(&mut self) {
        let topic = self.available();
        if let Some(mut connection) = self.connection.take() {
            let offline = Post { topic, payload: OFFLINE.to_owned(), retain: true };
            if connection.publish(offline).await.is_ok() {
                connection.close().await;
            }
        }
    }
}

/// Writes down what the broker keeps. A history that cannot be written holds up no record.
async fn remember(
    history: &History,
    sink: &str,
    topic: String,
    write: fn(&rusqlite::Connection, &str, &str) -> rusqlite::Result<()>,
) {
    let name = sink.to_owned();
    let kept = history.change(move |file| Ok::<_, HistoryError>(write(file, &name, &topic)?)).await;
    if let Err(error) = kept {
        tracing::warn!(%sink, %error, "what the broker keeps is not remembered; what goes while the daemon is away stays there");
    }
}

/// An id as one level of a topic.
fn level(id: &str) -> String {
    id.replace(['+', '#', '/'], "_")
}
