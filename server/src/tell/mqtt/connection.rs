//! One connection to a broker, MQTT 3.1.1: what is published at QoS 1 is through when the broker has acknowledged it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Codec, Connect, ConnectReturnCode, LastWill, Packet, Publish};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tokio_util::codec::Framed;

use super::Post;
use crate::tell::Trouble;

/// A broker that does not answer by then is away.
const PATIENCE: Duration = Duration::from_secs(10);
/// A sign of life where nothing is said.
const ALIVE: Duration = Duration::from_secs(15);
/// Seconds after which the broker takes a silent client for dead, half as much again.
const KEEP_ALIVE: u16 = 30;
/// Bytes of the largest packet that is sent; MQTT allows no more.
const MOST: usize = 256 << 20;
/// Bytes of the largest packet that is taken; nothing is subscribed to.
const MOST_TAKEN: usize = 1 << 16;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub tls: bool,
    pub host: String,
    pub port: u16,
}

/// A broker that has let us in.
pub struct Connection {
    packets: Framed<Box<dyn Io>, Codec>,
    last_id: u16,
    /// When a sign of life is due.
    alive: Instant,
    /// A sign of life was given and not answered.
    asked: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("last_id", &self.last_id).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and is let in; `will` is what the broker publishes when the connection breaks.
    pub async fn open(
        address: &Address,
        client: String,
        login: Option<(String, Option<String>)>,
        will: &Post,
    ) -> Result<Self, Trouble> {
        timeout(PATIENCE, Self::enter(address, client, login, will)).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn enter(
        address: &Address,
        client: String,
        login: Option<(String, Option<String>)>,
        will: &Post,
    ) -> Result<Self, Trouble> {
        let io = reach(address).await?;
        let codec = Codec { max_incoming_size: MOST_TAKEN, max_outgoing_size: MOST };
        let mut connection =
            Self { packets: Framed::new(io, codec), last_id: 0, alive: Instant::now() + ALIVE, asked: false };
        let mut connect = Connect::new(client);
        connect.keep_alive = KEEP_ALIVE;
        connect.last_will = Some(LastWill::new(&*will.topic, &*will.payload, QoS::AtLeastOnce, will.retain));
        if let Some((name, password)) = login {
            connect.set_login(name, password.unwrap_or_default());
        }
        connection.send(Packet::Connect(connect)).await?;
        match connection.receive().await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => Ok(connection),
            Packet::ConnAck(answer) => Err(Trouble::new(format!("it lets nobody in: {}", why(answer.code)))),
            _ => Err(Trouble::new("it does not speak MQTT 3.1.1")),
        }
    }

    /// Publishes at QoS 1; comes back when the broker has it.
    pub async fn publish(&mut self, post: Post) -> Result<(), Trouble> {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let mut publish = Publish::new(post.topic, QoS::AtLeastOnce, post.payload);
        (publish.pkid, publish.retain) = (self.last_id, post.retain);
        let wanted = self.last_id;
        let acknowledged = async {
            self.send(Packet::Publish(publish)).await?;
            loop {
                match self.receive().await? {
                    Packet::PubAck(ack) if ack.pkid == wanted => return Ok::<(), Trouble>(()),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, acknowledged).await.unwrap_or_else(|_| Err(silent()))
    }

    /// Keeps the connection alive until `until`. May be dropped at any time.
    pub async fn rest(&mut self, until: Instant) -> Result<(), Trouble> {
        loop {
            let due = self.alive;
            tokio::select! {
                received = self.receive() => drop(received?),
                () = tokio::time::sleep_until(due) => {
                    if self.asked {
                        return Err(silent());
                    }
                    self.asked = true;
                    self.send(Packet::PingReq).await?;
                }
                () = tokio::time::sleep_until(until) => return Ok(()),
            }
        }
    }

    /// Ends the connection so that the broker does not publish the will.
    pub async fn close(mut self) {
        // Who is gone already need not be told.
        let _gone = self.send(Packet::Disconnect).await;
    }

    async fn send(&mut self, packet: Packet) -> Result<(), Trouble> {
        self.alive = Instant::now() + ALIVE;
        self.packets.send(packet).await.map_err(|error| Trouble::new(error.to_string()))
    }

    async fn receive(&mut self) -> Result<Packet, Trouble> {
        let packet = match self.packets.next().await {
            Some(Ok(packet)) => packet,
            Some(Err(error)) => return Err(Trouble::new(error.to_string())),
            None => return Err(Trouble::new("it closed the connection")),
        };
        self.asked = false;
        Ok(packet)
    }
}

fn silent() -> Trouble {
    Trouble::new(format!("no answer within {PATIENCE:?}"))
}

fn why(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::Success => "it does",
        ConnectReturnCode::RefusedProtocolVersion => "it does not speak MQTT 3.1.1",
        ConnectReturnCode::BadClientId => "it does not want this client's id",
        ConnectReturnCode::ServiceUnavailable => "it is not available",
        ConnectReturnCode::BadUserNamePassword => "wrong username or password",
        ConnectReturnCode::NotAuthorized => "not authorized; check username and password",
    }
}

async fn reach(address: &Address) -> Result<Box<dyn Io>, Trouble> {
    let Address { tls, host, port } = address;
    let trouble = |error: std::io::Error| Trouble::new(error.to_string());
    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(trouble)?;
    stream.set_nodelay(true).map_err(trouble)?;
    if !tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.clone()).map_err(|error| Trouble::new(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.map_err(|error| Trouble::new(error.to_string()))?;
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let secured = TlsConnector::from(Arc::new(client)).connect(name, stream).await.map_err(trouble)?;
    Ok(Box::new(secured))
}
