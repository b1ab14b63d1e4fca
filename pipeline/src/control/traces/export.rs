//! Spans on their way to a collector: OTLP over HTTP, in batches, on a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::TlsConfig;

use super::TracesError;
use crate::config::TracesConfig;
use crate::trust;

/// How long the collector may take.
const CALL: Duration = Duration::from_secs(5);
/// How long the last spans may take at the end.
const LAST: Duration = Duration::from_secs(5);

/// What makes spans, and sends them.
#[derive(Debug)]
pub(super) struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Exporter {
    /// `None` where traces go nowhere.
    pub fn new(config: &TracesConfig) -> Result<Option<Self>, TracesError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Post::new(endpoint))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(CALL)
            .build()
            .map_err(|error| TracesError(error.to_string()))?;
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name(config.service.clone()).with_attribute(version);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::TraceIdRatioBased(config.share))
            .with_resource(resource.build())
            .build();
        Ok(Some(Self::of(provider)))
    }

    /// What makes spans of this provider.
    pub fn of(provider: SdkTracerProvider) -> Self {
        let tracer = provider.tracer("avicuna");
        Self { provider, tracer }
    }

    /// Makes spans.
    pub fn tracer(&self) -> &SdkTracer {
        &self.tracer
    }

    /// Sends what there is, and nothing any more.
    pub fn close(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last traces are lost");
        }
    }
}

/// Posts what the exporter has encoded.
#[derive(Debug)]
struct Post {
    agent: Agent,
    endpoint: String,
    fails: AtomicBool,
}

impl Post {
    fn new(endpoint: &str) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(CALL))
            .http_status_as_error(false)
            // What is answered elsewhere was taken by nobody.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("avicuna/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(trust::roots()).build())
            .build()
            .into();
        Self { agent, endpoint: endpoint.to_owned(), fails: AtomicBool::new(false) }
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, mut body) = self.agent.run(request.map(|body| body.to_vec()))?.into_parts();
        Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
    }

    /// Says once that the collector takes nothing, and that it does again.
    fn say(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let why = match answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let failed = self.fails.swap(why.is_some(), Ordering::Relaxed);
        match why {
            Some(why) if !failed => {
                tracing::warn!(
                    endpoint = self.endpoint,
                    why,
                    "traces are lost until the collector takes them"
                );
            }
            None if failed => tracing::info!(endpoint = self.endpoint, "the collector takes traces again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Post {
    /// Blocks: the exporter calls it on a thread that does nothing else.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.post(request);
        self.say(&answer);
        answer
    }
}
