//! An S3-compatible store: five calls, signed as AWS Signature Version 4 has it
//! (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). The bucket stands in the path, which every server understands.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::http::{Request, Response, header};
use ureq::tls::TlsConfig;

use super::{Meta, StoreError};
use crate::config::S3Config;
use crate::percent;
use crate::timeline::UtcTime;
use crate::trust;

/// A call that takes longer has failed.
const CALL: Duration = Duration::from_secs(20);
/// What passes is tried again after these pauses.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// No file and no list is longer.
const LONGEST: u64 = 1 << 30;

/// A bucket, and where in it.
pub(super) struct S3 {
    agent: Agent,
    /// Scheme and host, without a slash.
    endpoint: String,
    bucket: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    signer: Signer,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

/// What of a call is signed.
struct Call<'a> {
    method: &'a str,
    /// Below the bucket, encoded.
    path: &'a str,
    /// Names and values, in the order of the names.
    query: &'a [(&'a str, &'a str)],
    range: Option<Range<u64>>,
    body: &'a [u8],
}

impl S3 {
    pub fn new(bucket: &str, prefix: &str, config: &S3Config) -> Result<Self, StoreError> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let configured = config.access_key_id.clone().zip(config.secret_access_key.clone());
        let from_env = || env("AWS_ACCESS_KEY_ID").zip(env("AWS_SECRET_ACCESS_KEY"));
        let token = configured.is_none().then(|| env("AWS_SESSION_TOKEN")).flatten();
        let (id, secret) = configured.or_else(from_env).ok_or(StoreError::NoKey)?;
        let region =
            config.region.clone().or_else(|| env("AWS_REGION")).or_else(|| env("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let amazon = || format!("https://s3.{region}.amazonaws.com");
        let endpoint = config.endpoint.clone().or_else(|| env("AWS_ENDPOINT_URL")).unwrap_or_else(amazon);
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let tls = TlsConfig::builder().root_certs(trust::roots()).build();
        let agent = Agent::config_builder()
            .timeout_global(Some(CALL))
            .http_status_as_error(false)
            .tls_config(tls)
            .build()
            .into();
        Ok(Self {
            agent,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            bucket: bucket.to_owned(),
            prefix,
            signer: Signer { id, secret, token, region },
        })
    }

    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let call = Call { method: "PUT", path: &self.at(path), query: &[], range: None, body: bytes };
        self.call(&call).and_then(|answer| answer.good().map(|_| ()))
    }

    pub fn head(&self, path: &str) -> Result<Option<Meta>, StoreError> {
        let answer = self.ask("HEAD", path, None)?;
        if answer.status == 404 {
            return Ok(None);
        }
        let answer = answer.good()?;
        let size =
            answer.size.ok_or_else(|| StoreError::Server("it does not say how long a file is".into()))?;
        Ok(Some(Meta { size, modified: answer.modified }))
    }

    pub fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>, StoreError> {
        let answer = self.ask("GET", path, range)?;
        if answer.status == 404 { Ok(None) } else { Ok(Some(answer.good()?.body)) }
    }

    /// Deletes everything whose path begins so.
    pub fn delete(&self, path: &str) -> Result<(), StoreError> {
        let below = format!("{path}/");
        for (name, _) in self.list_below(&below)? {
            let answer = self.ask("DELETE", &name, None)?;
            if answer.status != 404 {
                answer.good()?;
            }
        }
        Ok(())
    }

    /// Every file, by its path below the prefix.
    pub fn list(&self) -> Result<Vec<(String, Meta)>, StoreError> {
        self.list_below("")
    }

    fn list_below(&self, below: &str) -> Result<Vec<(String, Meta)>, StoreError> {
        let (prefix, mut found) = (format!("{}{below}", self.prefix), Vec::new());
        let mut next: Option<String> = None;
        loop {
            let mut query = vec![("encoding-type", "url"), ("list-type", "2"), ("prefix", prefix.as_str())];
            query.extend(next.as_deref().map(|next| ("continuation-token", next)));
            query.sort_unstable();
            let call = Call { method: "GET", path: "", query: &query, range: None, body: &[] };
            let page = String::from_utf8_lossy(&self.call(&call)?.good()?.body).into_owned();
            for object in page.split("<Contents>").skip(1) {
                let size = tag(object, "Size").and_then(|size| size.parse().ok());
                let modified = tag(object, "LastModified").and_then(|time| UtcTime::from_rfc3339(&time));
                // Named as a form does, in which a blank is a plus.
                let name = tag(object, "Key").map(|name| name.replace('+', " "));
                let name = name.and_then(|name| percent::decoded(&name));
                let own = name.as_deref().and_then(|name| name.strip_prefix(&self.prefix));
                if let (Some(own), Some(size), Some(modified)) = (own, size, modified) {
                    found.push((own.to_owned(), Meta { size, modified }));
                }
            }
            next = tag(&page, "NextContinuationToken")
                .filter(|_| tag(&page, "IsTruncated").as_deref() == Some("true"));
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    fn ask(&self, method: &str, path: &str, range: Option<Range<u64>>) -> Result<Answer, StoreError> {
        self.call(&Call { method, path: &self.at(path), query: &[], range, body: &[] })
    }

    /// A path below the bucket. The names in it have been encoded once for every store; that is their name here, and is encoded again.
    fn at(&self, path: &str) -> String {
        let whole = format!("{}{path}", self.prefix);
        format!("/{}", percent::path(&whole))
    }

    /// What passes is tried again.
    fn call(&self, call: &Call<'_>) -> Result<Answer, StoreError> {
        let mut pauses = PAUSES.iter();
        loop {
            let answer = self.once(call);
            let passes = match &answer {
                Ok(answer) => matches!(answer.status, 429 | 500 | 502 | 503 | 504),
                Err(_) => true,
            };
            match pauses.next().filter(|_| passes) {
                Some(pause) => std::thread::sleep(*pause),
                None => return answer,
            }
        }
    }

    fn once(&self, call: &Call<'_>) -> Result<Answer, StoreError> {
        let failed = |error: ureq::Error| StoreError::Server(format!("{}: {error}", self.endpoint));
        let host = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, host)| host);
        let path = format!("/{}{}", self.bucket, call.path);
        let query: Vec<String> =
            call.query.iter().map(|(name, value)| format!("{name}={}", percent::component(value))).collect();
        let query = query.join("&");
        let stamp = UtcTime::now();
        let signed = self.signer.sign(call.method, (host, &path, &query), call.body, stamp);
        let asks = if query.is_empty() { String::new() } else { format!("?{query}") };
        let mut request =
            Request::builder().method(call.method).uri(format!("{}{path}{asks}", self.endpoint));
        for (name, value) in &signed {
            request = request.header(*name, value);
        }
        if let Some(range) = &call.range {
            let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
            request = request.header(header::RANGE, range);
        }
        let wrong = |error: ureq::http::Error| StoreError::Server(error.to_string());
        let response = if call.method == "PUT" {
            self.agent.run(request.body(call.body).map_err(wrong)?)
        } else {
            self.agent.run(request.body(()).map_err(wrong)?)
        };
        Answer::of(response.map_err(failed)?).map_err(failed)
    }
}

/// What a server said.
struct Answer {
    status: u16,
    size: Option<u64>,
    modified: UtcTime,
    body: Vec<u8>,
}

impl Answer {
    fn of(mut response: Response<ureq::Body>) -> Result<Self, ureq::Error> {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let size = text(header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
        let modified = text(header::LAST_MODIFIED).and_then(http_date).unwrap_or(UtcTime(0));
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST).read_to_vec()?;
        Ok(Self { status, size, modified, body })
    }

    /// Itself, unless it says that something is wrong.
    fn good(self) -> Result<Self, StoreError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let said = String::from_utf8_lossy(&self.body).into_owned();
        let words: Vec<String> = ["Code", "Message"].iter().filter_map(|name| tag(&said, name)).collect();
        Err(StoreError::Server(format!("the store answers {}: {}", self.status, words.join(", "))))
    }
}

/// The text of the first element of this name.
fn tag(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let plain =
        inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    Some(plain.replace("&amp;", "&"))
}

/// `Sun, 29 Nov 2026 12:00:00 GMT`.
fn http_date(text: &str) -> Option<UtcTime> {
    let civil = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", text).ok()?;
    let at = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
    i64::try_from(at.as_nanosecond()).ok().map(UtcTime)
}

/// Who calls.
struct Signer {
    id: String,
    secret: String,
    token: Option<String>,
    region: String,
}

impl Signer {
    /// The headers that say who calls, and that nothing of the call was changed.
    fn sign(
        &self,
        method: &str,
        (host, path, query): (&str, &str, &str),
        body: &[u8],
        at: UtcTime,
    ) -> Vec<(&'static str, String)> {
        let stamp = jiff::Timestamp::from_nanosecond(at.0.into()).unwrap_or_default();
        let stamp = stamp.strftime("%Y%m%dT%H%M%SZ").to_string();
        let (day, hash) = (&stamp[..8], hex::encode(Sha256::digest(body)));
        let mut headers = vec![
            ("host", host.to_owned()),
            ("x-amz-content-sha256", hash.clone()),
            ("x-amz-date", stamp.clone()),
        ];
        headers.extend(self.token.clone().map(|token| ("x-amz-security-token", token)));
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{hash}");
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}",
            hex::encode(Sha256::digest(canonical.as_bytes()))
        );
        let key = [day, &self.region, "s3", "aws4_request"]
            .iter()
            .fold(format!("AWS4{}", self.secret).into_bytes(), |key, part| mac(&key, part));
        let signature = hex::encode(mac(&key, &to_sign));
        let by = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
            self.id
        );
        headers.push(("authorization", by));
        headers
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example "GET Bucket (List Objects)" of the document above.
    #[test]
    fn calls_are_signed_as_the_document_has_it() {
        let signer = Signer {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
            region: "us-east-1".to_owned(),
        };
        let at = UtcTime::from_rfc3339("2013-05-24T00:00:00Z").expect("a time");
        let place = ("examplebucket.s3.amazonaws.com", "/", "max-keys=2&prefix=J");
        let headers = signer.sign("GET", place, b"", at);
        let (_, by) = headers.last().expect("there are some");
        let expected = "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert!(by.ends_with(expected), "{by}");
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(tag("<a><Key>x &amp;lt; y</Key></a>", "Key").as_deref(), Some("x &lt; y"));
        let at = http_date("Sun, 29 Nov 2026 12:00:00 GMT").map(UtcTime::to_rfc3339);
        assert_eq!(at.as_deref(), Some("2026-11-29T12:00:00.000Z"));
    }
}
