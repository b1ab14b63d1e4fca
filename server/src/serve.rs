//! Connections: how many, how long they may take to say something, TLS, and an orderly end.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use avicuna_pipeline::clips::Clips;
use avicuna_pipeline::config::ControlConfig;
use avicuna_pipeline::control::{Control, descriptors};
use avicuna_pipeline::daemon::{Asker, Observer, Streams};
use avicuna_pipeline::sink::Topics;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Method, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::allow::Allow;
use crate::api::{self, App, Reload};
use crate::auth::{Auth, AuthError};
use crate::history::{History, HistoryConfig, HistoryError};
use crate::rulebook::{Onlooker, Rulebook};
use crate::tell::{Tell, TellConfig, TellError};

/// A client that has not said what it wants by then is let go.
const SAY: Duration = Duration::from_secs(10);
/// How long calls under way may take when the daemon ends.
const LEAVE: Duration = Duration::from_secs(2);
/// Addresses that callers may have looked at at once.
const PROBES: usize = 4;
/// A pause when the system gives no descriptor.
const NO_DESCRIPTOR: Duration = Duration::from_millis(100);

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// What the daemon tells of itself.
    pub control: Arc<Control>,
    /// Its streams.
    pub streams: Streams,
    /// Asks its model.
    pub asker: Asker,
    /// What its events can be looked at in, if anything is kept.
    pub clips: Option<Clips>,
    /// `[control]`.
    pub config: ControlConfig,
    /// `[history]`.
    pub history: HistoryConfig,
    /// `[[webhook]]` and `[[mqtt]]`.
    pub tell: TellConfig,
    /// Reads the configuration file again.
    pub reload: Reload,
    /// Where records are published.
    pub topics: Topics,
}

/// Why the interface cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be used.
    #[error("control.listen: {address} cannot be used: {source}; choose another port, or \"off\"")]
    Listen {
        /// As configured.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The tokens cannot be read.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The history cannot be opened.
    #[error("history.path: {0}")]
    History(#[from] HistoryError),
    /// Somebody cannot be told.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// A file of TLS cannot be used.
    #[error("control.{key} {}: {reason}", path.display())]
    Tls {
        /// Which key names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A header or an origin that cannot be one.
    #[error("control.{key}: \"{value}\" cannot be used")]
    Value {
        /// Which key.
        key: &'static str,
        /// Its value.
        value: String,
    },
}

/// The interface, ready to be served.
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
    router: Router,
    tell: Tell,
    tls: Option<TlsAcceptor>,
    clients: Arc<Semaphore>,
}

impl Server {
    /// Opens what it needs; `None` when `control.listen` is `off`.
    ///
    /// # Errors
    /// Names the key and what to do.
    pub async fn bind(parts: Parts) -> Result<Option<Self>, ServerError> {
        let Parts { control, streams, asker, clips, config, history, tell, reload, topics } = parts;
        let Ok(Some(address)) = config.address() else { return Ok(None) };
        let auth = Auth::new(config.token_file.as_deref(), config.trusted_proxy_header.as_deref())?;
        let tls = tls(&config)?;
        let cors = cors(&config)?;
        let listen = |source| ServerError::Listen { address: config.listen.clone(), source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let history = History::open(&history)?;
        let rules = Rulebook::of(&history).await?;
        let tell = Tell::open(&tell, &history, &rules, &streams).await?;
        let app = Arc::new(App {
            control,
            streams,
            asker,
            clips,
            history,
            rules,
            sinks: tell.states(),
            auth,
            allow: Allow::new(config.allow),
            probes: Semaphore::new(PROBES),
            reload,
            topics,
        });
        let mut router = api::router(app.clone()).layer(DefaultBodyLimit::max(config.max_body));
        if let Some(cors) = cors {
            router = router.layer(cors);
        }
        // Cameras, sinks and files have the other half.
        let descriptors = usize::try_from(descriptors() / 2).unwrap_or(usize::MAX);
        let clients = Arc::new(Semaphore::new(config.max_clients.min(descriptors)));
        Ok(Some(Self { listener, app, router, tell, tls, clients }))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What is to see every record: the history and the rules.
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Onlooker { history: self.app.history.clone(), rules: self.app.rules.clone() })
    }

    /// Serves until `stop`. Streams that were added by calls before are added again first.
    pub async fn serve(self, stop: CancellationToken) {
        let restored = self.app.clone();
        tokio::spawn(async move {
            if let Err(error) = api::restore(&restored).await {
                tracing::error!(%error, "the streams that were added by calls cannot be read");
            }
        });
        let telling = CancellationToken::new();
        let told = tokio::spawn(self.tell.run(telling.clone()));
        let ending = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a connection was not taken");
                    tokio::time::sleep(NO_DESCRIPTOR).await;
                    continue;
                }
            };
            // One too many is closed at once, so that descriptors are left for cameras and sinks.
            let Ok(place) = self.clients.clone().try_acquire_owned() else { continue };
            let (router, tls, watcher) = (self.router.clone(), self.tls.clone(), ending.watcher());
            tokio::spawn(async move {
                let _place = place;
                match tls {
                    None => talk(stream, router, watcher).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = timeout(SAY, tls.accept(stream)).await {
                            converse(stream, router, watcher).await;
                        }
                    }
                }
            });
        }
        drop(self.listener);
        if timeout(LEAVE, ending.shutdown()).await.is_err() {
            tracing::debug!("calls that were under way are cut off");
        }
        // Behind the last records, so that they are told too.
        let _closed = self.app.history.change(|_| Ok(())).await;
        telling.cancel();
        if let Err(error) = told.await {
            tracing::error!(%error, "telling failed");
        }
    }
}

/// A client that never says a word is not waited for.
async fn talk(stream: TcpStream, router: Router, watcher: hyper_util::server::graceful::Watcher) {
    let mut first = [0];
    match timeout(SAY, stream.peek(&mut first)).await {
        Ok(Ok(said)) if said > 0 => converse(stream, router, watcher).await,
        _ => {}
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(SAY);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(SAY);
    let service = TowerToHyperService::new(router.into_service::<Incoming>());
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, "a connection ended");
    }
}

fn tls(config: &ControlConfig) -> Result<Option<TlsAcceptor>, ServerError> {
    let (Some(certificate), Some(key)) = (&config.certificate, &config.private_key) else { return Ok(None) };
    let wrong =
        |key: &'static str, path: &Path, reason: String| ServerError::Tls { key, path: path.into(), reason };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| wrong("certificate", certificate, error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("private_key", key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|server| server.with_no_client_auth().with_single_cert(chain, private));
    let mut server = server.map_err(|error| wrong("certificate", certificate, error.to_string()))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn cors(config: &ControlConfig) -> Result<Option<CorsLayer>, ServerError> {
    if config.origins.is_empty() {
        return Ok(None);
    }
    let value = |origin: &String| {
        let wrong = || ServerError::Value { key: "origins", value: origin.clone() };
        HeaderValue::from_str(origin).map_err(|_| wrong())
    };
    let origins: Vec<HeaderValue> = config.origins.iter().map(value).collect::<Result<_, _>>()?;
    let allowed = if config.origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins)
    };
    let methods = [Method::GET, Method::POST, Method::PATCH, Method::DELETE];
    let headers =
        [header::AUTHORIZATION, header::CONTENT_TYPE, header::HeaderName::from_static("last-event-id")];
    Ok(Some(CorsLayer::new().allow_origin(allowed).allow_methods(methods).allow_headers(headers)))
}
