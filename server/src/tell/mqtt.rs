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
use crate::history::{Told, What};
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
    connection: Option<Connection>,
    /// What the broker keeps for Home Assistant, by topic.
    announced: BTreeMap<String, String>,
    look: Instant,
}

impl Broker {
    /// # Errors
    /// When the broker's address is none.
    pub fn new(
        config: &MqttConfig,
        rules: Rulebook,
        streams: Streams,
        state: Arc<State>,
    ) -> Result<Self, TellError> {
        let (tls, host, port) =
            config.address().ok_or_else(|| TellError::Broker { name: config.name.clone() })?;
        let (announced, look) = (BTreeMap::new(), Instant::now());
        let address = Address { tls, host, port };
        Ok(Self { config: config.clone(), address, rules, streams, state, connection: None, announced, look })
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
            self.announced.clear();
            self.connection = Some(connection);
            self.state.up();
            self.announce().await?;
        }
        self.connection.as_mut().ok_or_else(|| Trouble::new("it is not connected"))
    }

    /// Tells Home Assistant what has changed.
    async fn announce(&mut self) -> Result<(), Trouble> {
        self.look = Instant::now() + LOOK;
        let Some(connection) = self.connection.as_mut().filter(|_| self.config.discovery) else {
            return Ok(());
        };
        let wanted = |id: &String| self.config.streams.is_empty() || self.config.streams.contains(id);
        let streams = self.streams.list().into_iter().map(|listed| listed.config.id).filter(wanted);
        let aimed = |(id, rule): &(String, crate::rules::Rule)| {
            let among = |list: &[String], one: &String| list.is_empty() || list.contains(one);
            among(&self.config.rules, id) && among(&rule.targets, &self.config.name)
        };
        let rules = self.rules.list().into_iter().filter(aimed).map(|(id, _)| id);
        let entities = discovery::entities(&self.config.prefix, streams, rules);
        let gone: Vec<String> =
            self.announced.keys().filter(|topic| !entities.contains_key(*topic)).cloned().collect();
        for topic in gone {
            // An empty message takes back what the broker kept.
            connection.publish(Post { topic: topic.clone(), payload: String::new(), retain: true }).await?;
            self.announced.remove(&topic);
        }
        for (topic, payload) in entities {
            if self.announced.get(&topic) != Some(&payload) {
                let post = Post { topic: topic.clone(), payload: payload.clone(), retain: true };
                connection.publish(post).await?;
                self.announced.insert(topic, payload);
            }
        }
        Ok(())
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

/// An id as one level of a topic.
fn level(id: &str) -> String {
    id.replace(['+', '#', '/'], "_")
}
