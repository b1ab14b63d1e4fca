//! `[[webhook]]` and `[[mqtt]]`: who is told, and of what.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::durations;

/// What stands for a secret.
const HIDDEN: &str = "***";
/// What a secret starts with whose rest is a key in Base64.
const ENCODED_KEY: &str = "whsec_";

/// Kinds of records that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// States of events.
    Events,
    /// What was watched.
    Coverage,
    /// What went wrong.
    Errors,
    /// Rules that fired.
    Alerts,
    /// Streams that were lost, and are back.
    Streams,
}

impl RecordKind {
    /// The topic of such records in the history.
    pub fn topic(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Coverage => "coverage",
            Self::Errors => "errors",
            Self::Alerts => "alerts",
            Self::Streams => "streams",
        }
    }
}

/// One `[[webhook]]`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Names it; no other sink has the same name.
    pub name: String,
    /// Where records are posted to.
    pub url: String,
    /// Signs what is posted, as Standard Webhooks do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What is told.
    #[serde(default = "alerts")]
    pub send: Vec<RecordKind>,
    /// Of alerts: only those of these rules; all when empty.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Only of these streams; all when empty.
    #[serde(default)]
    pub streams: Vec<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON with places `{{field}}`; the record as a CloudEvent when empty.
    #[serde(default)]
    pub template: String,
    /// How long an answer may take.
    #[serde(default = "ten_seconds", with = "durations")]
    pub timeout: Duration,
}

/// One `[[mqtt]]`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// Names it; no other sink has the same name.
    pub name: String,
    /// `mqtt://HOST:PORT` or `mqtts://HOST:PORT`.
    pub broker: String,
    /// Who it is for the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What topics start with.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// What is told.
    #[serde(default = "all_but_the_books")]
    pub send: Vec<RecordKind>,
    /// Of alerts: only those of these rules; all when empty.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Only of these streams; all when empty.
    #[serde(default)]
    pub streams: Vec<String>,
    /// Tell Home Assistant of every stream and rule.
    #[serde(default = "yes")]
    pub discovery: bool,
}

fn alerts() -> Vec<RecordKind> {
    vec![RecordKind::Alerts]
}

fn all_but_the_books() -> Vec<RecordKind> {
    vec![RecordKind::Alerts, RecordKind::Events, RecordKind::Streams]
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn prefix() -> String {
    "avicuna".to_owned()
}

fn yes() -> bool {
    true
}

impl WebhookConfig {
    /// Its address as it may be shown: many carry their secret in the path.
    pub fn shown_url(&self) -> String {
        match host(&self.url, &["http", "https"]) {
            Some((scheme, host)) => format!("{scheme}://{host}/{HIDDEN}"),
            None => HIDDEN.to_owned(),
        }
    }

    /// The key of its signatures; `Err` when it is not what its beginning says.
    pub fn key(&self) -> Option<Result<SecretKey<'_>, &'static str>> {
        let secret = self.secret.as_deref()?;
        Some(match secret.strip_prefix(ENCODED_KEY) {
            None if secret.is_empty() => Err("must not be empty"),
            None => Ok(SecretKey::Plain(secret)),
            Some(encoded) => {
                let legal = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
                let good =
                    !encoded.is_empty() && encoded.len().is_multiple_of(4) && encoded.chars().all(legal);
                if good { Ok(SecretKey::Base64(encoded)) } else { Err("after whsec_ Base64 must follow") }
            }
        })
    }

    pub(super) fn redacted(&self) -> Self {
        let hidden = |(name, _): (&String, &String)| (name.clone(), HIDDEN.to_owned());
        Self {
            url: self.shown_url(),
            secret: self.secret.as_ref().map(|_| HIDDEN.to_owned()),
            headers: self.headers.iter().map(hidden).collect(),
            ..self.clone()
        }
    }
}

impl fmt::Debug for WebhookConfig {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig")
            .field("name", &self.name)
            .field("url", &self.shown_url())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MqttConfig {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttConfig")
            .field("name", &self.name)
            .field("broker", &self.shown_broker())
            .finish_non_exhaustive()
    }
}

/// The key of signatures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SecretKey<'a> {
    /// Its bytes.
    Plain(&'a str),
    /// In Base64, as Standard Webhooks hand keys out.
    Base64(&'a str),
}

impl MqttConfig {
    /// `(is TLS, host, port)` of the broker; `None` when the address is none.
    pub fn address(&self) -> Option<(bool, String, u16)> {
        let (scheme, host) = host(&self.broker, &["mqtt", "mqtts"])?;
        let rest = &self.broker[scheme.len() + 3..];
        if rest.trim_end_matches('/') != host {
            return None;
        }
        let tls = scheme == "mqtts";
        let standard = if tls { 8883 } else { 1883 };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && !port.contains(']') => (name, port.parse().ok()?),
            _ => (host, standard),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        (!name.is_empty()).then(|| (tls, name.to_owned(), port))
    }

    /// Its broker as it may be shown.
    pub fn shown_broker(&self) -> String {
        match host(&self.broker, &["mqtt", "mqtts"]) {
            Some((scheme, host)) => format!("{scheme}://{host}"),
            None => HIDDEN.to_owned(),
        }
    }

    pub(super) fn redacted(&self) -> Self {
        Self {
            broker: self.shown_broker(),
            password: self.password.as_ref().map(|_| HIDDEN.to_owned()),
            ..self.clone()
        }
    }
}

/// Scheme and `HOST:PORT` of an address, whatever stands before and behind; `None` when it has none, or another scheme.
fn host<'a>(address: &'a str, schemes: &[&str]) -> Option<(&'a str, &'a str)> {
    let (scheme, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
    let legal =
        |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}');
    let good =
        schemes.contains(&scheme) && !host.is_empty() && !host.starts_with(':') && host.chars().all(legal);
    good.then_some((scheme, host))
}
