//! What must hold of a configuration beyond its types.

mod clips;
mod fleet;
mod tell;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::Uri;

use super::{Config, Places, Problem, SinkKind, StreamConfig};

/// Everything that is wrong with one stream. The fields are named as in its own section: `reconnect.jitter`.
pub(super) fn stream_problems(stream: &StreamConfig) -> Vec<Problem> {
    let places = Places::default();
    let mut check = Check { places: &places, problems: Vec::new() };
    check.ids(std::slice::from_ref(stream));
    check.stream(0, stream);
    let own = |field: &str| field.strip_prefix("stream[0].").unwrap_or(field).to_owned();
    check.problems.into_iter().map(|problem| Problem { field: own(&problem.field), ..problem }).collect()
}

/// What is wrong with a collector's address. It is not repeated where it may hold a secret.
fn wrong_endpoint(endpoint: &str) -> Result<(), String> {
    if endpoint.contains('@') {
        return Err("an address here has no user or password; the variable OTEL_EXPORTER_OTLP_HEADERS may hold an authorization".to_owned());
    }
    if endpoint.contains(['?', '#']) {
        return Err("an address here ends with its path, to which /v1/traces is added".to_owned());
    }
    let no_address = || format!("\"{endpoint}\" is no address; use one like \"http://collector:4318\"");
    let uri: Uri = endpoint.parse().map_err(|_| no_address())?;
    let scheme = uri.scheme_str().map(str::to_lowercase);
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(no_address)?;
    let port = uri.authority().and_then(|all| all.as_str().strip_prefix(host)?.strip_prefix(':'));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if !is_port || !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err(no_address());
    }
    match uri.path().trim_end_matches('/').ends_with("/v1/traces") {
        true => Err("/v1/traces is added to it; leave it out".to_owned()),
        false => Ok(()),
    }
}

/// A path that is the same for the same file, as far as it is there.
fn place(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = whole.parent().and_then(|folder| folder.canonicalize().ok());
    let known = whole.canonicalize().ok();
    known.or_else(|| Some(folder?.join(whole.file_name()?))).unwrap_or(whole)
}

struct Check<'a> {
    places: &'a Places,
    problems: Vec<Problem>,
}

/// Everything that is wrong.
pub(super) fn problems(config: &Config, places: &Places) -> Vec<Problem> {
    let mut check = Check { places, problems: Vec::new() };
    check.model(config);
    check.sections(config);
    check.sink(config);
    check.files(config);
    check.tell(config);
    check.clips(config);
    check.fleet(config);
    check.traces(config);
    check.ids(&config.stream);
    for (index, stream) in config.stream.iter().enumerate() {
        check.stream(index, stream);
    }
    check.problems
}

impl Check<'_> {
    fn wrong(&mut self, path: impl AsRef<str>, message: impl Into<String>) {
        self.problems.push(self.places.problem(path.as_ref(), message));
    }

    fn ensure(&mut self, holds: bool, path: impl AsRef<str>, message: impl Into<String>) {
        if !holds {
            self.wrong(path, message);
        }
    }

    fn model(&mut self, config: &Config) {
        let device = &config.model.device;
        let cuda = device.strip_prefix("cuda:").is_some_and(|number| number.parse::<usize>().is_ok());
        let known = cuda || matches!(device.as_str(), "auto" | "cpu");
        self.ensure(
            known,
            "model.device",
            format!("\"{device}\" is no device; use \"auto\", \"cpu\" or \"cuda:0\""),
        );
    }

    fn sections(&mut self, config: &Config) {
        let schedule = &config.schedule;
        self.ensure(schedule.max_batch > 0, "schedule.max_batch", "must be at least 1");
        self.ensure(schedule.queue_per_stream > 0, "schedule.queue_per_stream", "must be at least 1");
        self.ensure(
            config.outbox.max_bytes > 0,
            "outbox.max_bytes",
            "must be at least 1; 1073741824 is 1 GiB",
        );
        if config.control.address().is_err() {
            let message = format!(
                "\"{}\" is no address; use one like \"127.0.0.1:9464\" or \"[::]:9464\", or \"off\"",
                config.control.listen
            );
            self.wrong("control.listen", message);
            return;
        }
        self.control(config);
    }

    fn traces(&mut self, config: &Config) {
        let traces = &config.traces;
        let share = "must be from 0 to 1: the part of all windows that is shown";
        self.ensure((0.0..=1.0).contains(&traces.share), "traces.share", share);
        self.ensure(
            !traces.service.is_empty(),
            "traces.service",
            "must not be empty; leave it out for \"avicuna\"",
        );
        if let Some(wrong) = traces.endpoint.as_deref().and_then(|endpoint| wrong_endpoint(endpoint).err()) {
            self.wrong("traces.endpoint", wrong);
        }
    }

    fn control(&mut self, config: &Config) {
        let control = &config.control;
        let asks = control.token_file.is_some() || control.trusted_proxy_header.is_some();
        let message = "others than this machine can reach it, and nothing asks who they are: set control.token_file \
                       (`avicuna token` makes one) or control.trusted_proxy_header, or listen on 127.0.0.1";
        self.ensure(asks || control.is_private(), "control.listen", message);
        let both = control.certificate.is_some() == control.private_key.is_some();
        self.ensure(
            both,
            "control.certificate",
            "TLS needs both control.certificate and control.private_key",
        );
        self.ensure(control.max_clients > 0, "control.max_clients", "must be at least 1");
        self.ensure(control.max_body > 0, "control.max_body", "must be at least 1; 1048576 is 1 MiB");
        self.ensure(
            config.history.max_bytes > 0,
            "history.max_bytes",
            "must be at least 1; 1073741824 is 1 GiB",
        );
    }

    /// No two things are kept in one file.
    fn files(&mut self, config: &Config) {
        let (outbox, history) = (&config.outbox.path, config.history.path(&config.outbox.path));
        let is_file = config.sink.kind == SinkKind::Jsonl && config.sink.jsonl.path.as_os_str() != "-";
        let lines = is_file.then_some(("sink.jsonl.path", &config.sink.jsonl.path));
        let mut known: Vec<(&str, PathBuf)> = vec![("outbox.path", place(outbox))];
        for (field, path) in [Some(("history.path", &history)), lines].into_iter().flatten() {
            let path = place(path);
            if let Some((other, _)) = known.iter().find(|(_, other)| *other == path) {
                self.wrong(field, format!("is the file of {other} too; give each one of its own"));
            }
            known.push((field, path));
        }
    }

    fn sink(&mut self, config: &Config) {
        let kafka = &config.sink.kafka;
        if config.sink.kind == SinkKind::Kafka {
            self.ensure(
                !kafka.brokers.trim().is_empty(),
                "sink.kafka.brokers",
                "names no broker; give host:port",
            );
        }
        if let Err(error) = kafka.checked() {
            // The message starts with the section's name.
            let message = error.to_string();
            let message = message.strip_prefix("sink.kafka.properties: ").unwrap_or(&message);
            self.wrong("sink.kafka.properties", message);
        }
        for (field, name) in [
            ("events", &kafka.topics.events),
            ("coverage", &kafka.topics.coverage),
            ("errors", &kafka.topics.errors),
        ] {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let good = !name.is_empty() && name.len() <= 249 && name.chars().all(legal);
            let message = format!("\"{name}\" is no topic name; use letters, digits, '.', '_' and '-'");
            self.ensure(good, format!("sink.kafka.topics.{field}"), message);
        }
    }

    fn ids(&mut self, streams: &[StreamConfig]) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, stream) in streams.iter().enumerate() {
            let path = format!("stream[{index}].id");
            let legal = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
            if stream.id.is_empty() || stream.id.len() > 200 || !stream.id.chars().all(legal) {
                self.wrong(&path, "an id has 1 to 200 bytes, no blanks and no '/'");
            }
            if let Some(first) = seen.insert(&stream.id, index) {
                self.wrong(
                    &path,
                    format!("\"{}\" is the id of stream[{first}] too; ids must differ", stream.id),
                );
            }
        }
    }

    fn stream(&mut self, index: usize, stream: &StreamConfig) {
        let at = |field: &str| format!("stream[{index}].{field}");
        self.address(index, stream);
        self.mask(index, stream);
        self.ensure(
            stream.audio || stream.video,
            at("audio"),
            "without audio and video nothing is left to watch",
        );
        self.window(index, stream);
        let asks = stream.detect || !stream.queries.is_empty();
        self.ensure(asks, at("detect"), "nothing is asked: set detect = true or name some queries");
        for (number, query) in stream.queries.iter().enumerate() {
            let path = at(&format!("queries[{number}]"));
            let good = !query.trim().is_empty() && query.len() <= 500 && !query.contains(['\n', '\r']);
            self.ensure(good, &path, "a query is one line of 1 to 500 bytes, as \"a dog barks\"");
            self.ensure(
                !stream.queries[..number].contains(query),
                &path,
                format!("\"{query}\" is asked twice"),
            );
        }
        for (field, score) in [("min_score", stream.min_score), ("min_query_score", stream.min_query_score)] {
            let right = score.is_none_or(|score| (0.0..=1.0).contains(&score));
            self.ensure(right, at(field), "must be from 0 to 1");
        }
        for (label, score) in &stream.min_label_scores {
            let message = format!("\"{label}\" must be from 0 to 1");
            self.ensure((0.0..=1.0).contains(score), at("min_label_scores"), message);
        }
        self.ensure((0.0..=1.0).contains(&stream.unchanged), at("unchanged"), "must be from 0 to 1");
        self.ensure(stream.min_windows > 0, at("min_windows"), "must be at least 1");
        self.ensure(stream.stall_timeout > Duration::ZERO, at("stall_timeout"), "must be longer than 0");
        let reconnect = &stream.reconnect;
        self.ensure((0.0..=1.0).contains(&reconnect.jitter), at("reconnect.jitter"), "must be from 0 to 1");
        self.ensure(reconnect.initial > Duration::ZERO, at("reconnect.initial"), "must be longer than 0");
        let rises = reconnect.initial <= reconnect.max;
        self.ensure(rises, at("reconnect.max"), "must not be shorter than reconnect.initial");
    }

    fn address(&mut self, index: usize, stream: &StreamConfig) {
        let path = format!("stream[{index}].uri");
        if let Err(failure) = stream.address() {
            return self.wrong(path, failure.message);
        }
        let live = stream.is_live();
        let message = "only a file can be looped; remove it, or set live = false";
        self.ensure(!(stream.looping && live), format!("stream[{index}].loop"), message);
        let message = "a live stream always has its own speed; remove it, or set live = false";
        self.ensure(!(stream.realtime && live), format!("stream[{index}].realtime"), message);
    }

    fn window(&mut self, index: usize, stream: &StreamConfig) {
        let at = |field: &str| format!("stream[{index}].{field}");
        self.ensure(
            stream.window != Some(Duration::ZERO),
            at("window"),
            "a window cannot be 0 long; \"20s\" suits most models",
        );
        self.ensure(
            stream.hop != Some(Duration::ZERO),
            at("hop"),
            "a hop cannot be 0 long; half a window suits most streams",
        );
        if let (Some(window), Some(hop)) = (stream.window, stream.hop)
            && hop > window
        {
            let [hop, window] = [hop, window].map(|duration| crate::durations::print(&duration));
            let message = format!(
                "{hop} is longer than the window of {window}: what lies between would not be watched; use {window} or less"
            );
            self.wrong(at("hop"), message);
        }
    }
}
