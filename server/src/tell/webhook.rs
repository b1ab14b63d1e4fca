//! Posts records over HTTP, signed as Standard Webhooks are.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use avicuna_pipeline::config::{SecretKey, WebhookConfig};
use avicuna_pipeline::{percent, trust};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::TlsConfig;

use super::{Receipt, Sink, TellError, Trouble, cloud_event, template};
use crate::history::Told;

/// Bytes of an answer that are told on.
const SAID: u64 = 200;

/// Posts to one address.
#[derive(Debug)]
pub(super) struct Webhook {
    inner: Arc<Inner>,
}

struct Inner {
    agent: Agent,
    config: WebhookConfig,
    key: Option<Vec<u8>>,
}

impl std::fmt::Debug for Inner {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("to", &self.config.shown_url()).finish_non_exhaustive()
    }
}

/// What is posted.
struct Letter {
    id: String,
    content_type: &'static str,
    body: String,
}

impl Webhook {
    /// # Errors
    /// When its secret is no key.
    pub fn new(config: &WebhookConfig) -> Result<Self, TellError> {
        let wrong = |message: String| TellError::Secret { name: config.name.clone(), message };
        let key = match config.key().transpose().map_err(|message| wrong(message.to_owned()))? {
            None => None,
            Some(SecretKey::Plain(secret)) => Some(secret.as_bytes().to_vec()),
            Some(SecretKey::Base64(encoded)) => {
                let decoded = STANDARD.decode(encoded);
                Some(decoded.map_err(|_| wrong("after whsec_ Base64 must follow".to_owned()))?)
            }
        };
        let agent = Agent::config_builder()
            .timeout_global(Some(config.timeout))
            // An address of the operator's file leads nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("avicuna/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(trust::roots()).build())
            .build()
            .new_agent();
        Ok(Self { inner: Arc::new(Inner { agent, config: config.clone(), key }) })
    }
}

impl Sink for Webhook {
    async fn deliver(&mut self, told: &Told) -> Result<Receipt, Trouble> {
        let letter = match self.inner.letter(told) {
            Ok(letter) => letter,
            Err(reason) => return Ok(Receipt::Refused(reason)),
        };
        let inner = self.inner.clone();
        let posted = tokio::task::spawn_blocking(move || inner.post(&letter)).await;
        posted.unwrap_or_else(|error| Err(Trouble::new(format!("the post failed: {error}"))))
    }

    async fn idle(&mut self) -> Trouble {
        std::future::pending().await
    }

    async fn leave(&mut self) {}
}

impl Inner {
    fn letter(&self, told: &Told) -> Result<Letter, String> {
        let event = cloud_event::of(told).map_err(|error| format!("the record is no JSON: {error}"))?;
        let (content_type, body) = if self.config.template.is_empty() {
            ("application/cloudevents+json", event.to_string())
        } else {
            ("application/json", template::fill(&self.config.template, &event))
        };
        Ok(Letter {
            id: percent::header(&format!("{}/{}", told.what.kind().topic(), told.id)),
            content_type,
            body,
        })
    }

    fn post(&self, letter: &Letter) -> Result<Receipt, Trouble> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = self
            .agent
            .post(&self.config.url)
            .header(header::CONTENT_TYPE, letter.content_type)
            .header("webhook-id", &letter.id)
            .header("webhook-timestamp", now.to_string());
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", signature(key, &letter.id, now, &letter.body));
        }
        for (name, value) in &self.config.headers {
            request = request.header(name, value);
        }
        let mut response =
            request.send(letter.body.as_str()).map_err(|error| Trouble::new(self.say(&error)))?;
        let said = response.body_mut().with_config().limit(SAID).read_to_string().unwrap_or_default();
        judge(response.status(), response.headers(), &said)
    }

    /// Why there was no answer, without the address, which may be secret.
    fn say(&self, error: &ureq::Error) -> String {
        let text = match error {
            ureq::Error::Timeout(_) => format!("no answer within {:?}", self.config.timeout),
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "its name is not known".to_owned(),
            other => other.to_string(),
        };
        text.replace(&self.config.url, &self.config.shown_url())
    }
}

/// What an answer means.
fn judge(status: StatusCode, headers: &HeaderMap, said: &str) -> Result<Receipt, Trouble> {
    let line = said.lines().next().unwrap_or_default().trim();
    let reason = if line.is_empty() { status.to_string() } else { format!("{status}: {line}") };
    match status.as_u16() {
        200..300 => Ok(Receipt::Delivered),
        408 | 425 | 429 | 500.. => Err(Trouble { reason, after: retry_after(headers) }),
        _ => Ok(Receipt::Refused(reason)),
    }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// `v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY` in Base64.
fn signature(key: &[u8], id: &str, timestamp: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_signed_as_standard_webhooks_are() {
        // The example of the specification.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("Base64");
        let body = "{\"test\": 2432232314}";
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_answer_decides_whether_it_is_tried_again() {
        let no_headers = HeaderMap::new();
        let judged =
            |status: u16| judge(StatusCode::from_u16(status).expect("a status"), &no_headers, "why\nmore");
        for status in [200, 202, 204] {
            assert_eq!(judged(status), Ok(Receipt::Delivered));
        }
        for status in [408, 425, 429, 500, 503, 599] {
            assert!(judged(status).is_err(), "{status}");
        }
        for status in [301, 400, 401, 404, 410, 422] {
            let Ok(Receipt::Refused(reason)) = judged(status) else { panic!("{status}") };
            assert!(reason.starts_with(&status.to_string()) && reason.ends_with(": why"), "{reason}");
        }
        let with = |value: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().expect("a value"))]);
            judge(StatusCode::SERVICE_UNAVAILABLE, &headers, "").expect_err("it is tried again").after
        };
        assert_eq!(with("7"), Some(Duration::from_secs(7)));
        assert_eq!(with("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "then is now");
        assert_eq!(with("soon"), None);
    }
}
