//! The way of each window as a trace of OpenTelemetry, from the capture of its beginning to the acknowledgement of its last record.

mod export;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{Span as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use self::export::Exporter;
use crate::config::TracesConfig;
use crate::outbox::{Message, Topic};
use crate::record::WindowFate;
use crate::timeline::UtcTime;

/// The step into the outbox.
const STORE: &str = "store";

/// Messages whose acknowledgement is waited for; of the oldest beyond, nobody hears when they were delivered.
const WAITING: usize = 10_000;

/// Where traces go, and those that are not over.
#[derive(Debug, Default)]
pub struct Traces {
    exporter: OnceLock<Exporter>,
    waiting: Mutex<Waiting>,
}

/// One window's way so far. Clones are of the same; with the last one it is over, and is exported.
#[derive(Debug, Clone)]
pub(crate) struct WindowTrace(Arc<Way>);

#[derive(Debug)]
struct Way {
    tracer: SdkTracer,
    root: SpanBuilder,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    clock: Clock,
    steps: Vec<Step>,
    /// Where the last step ended.
    reached: SystemTime,
    fate: Option<(WindowFate, Option<String>)>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    from: SystemTime,
    to: SystemTime,
}

/// Messages that are in the outbox, in their order, with the windows that they tell of.
#[derive(Debug, Default)]
struct Waiting {
    traces: HashMap<(Topic, String), Vec<WindowTrace>>,
    order: VecDeque<(Topic, String)>,
}

impl Traces {
    /// Exports from now on, if the configuration says where to. Only the first call counts.
    ///
    /// # Errors
    /// When it cannot be exported there.
    pub fn start(&self, config: &TracesConfig) -> Result<(), TracesError> {
        if let Some(exporter) = Exporter::new(config)? {
            let _first = self.exporter.set(exporter);
        }
        Ok(())
    }

    /// A window of `stream` is complete. A live one was `captured` from then on.
    pub(crate) fn begin(
        &self,
        (stream, index): (&str, u64),
        captured: Option<UtcTime>,
        closed: Instant,
    ) -> Option<WindowTrace> {
        let tracer = self.exporter.get()?.tracer();
        let clock = Clock::new();
        let closed = clock.wall(closed);
        // A clock that is ahead of ours would give a span that ends before it begins.
        let captured = captured.map(SystemTime::from).filter(|captured| *captured < closed);
        let attributes = [
            KeyValue::new("avicuna.stream.id", stream.to_owned()),
            KeyValue::new("avicuna.window.index", i64::try_from(index).unwrap_or(i64::MAX)),
        ];
        let root = tracer
            .span_builder("window")
            .with_start_time(captured.unwrap_or(closed))
            .with_attributes(attributes);
        let fill = captured.map(|captured| Step { name: "fill", from: captured, to: closed });
        let state = State { clock, steps: fill.into_iter().collect(), reached: closed, fate: None };
        Some(WindowTrace(Arc::new(Way { tracer: tracer.clone(), root, state: Mutex::new(state) })))
    }

    /// What these windows gave is about to go into the outbox.
    pub(crate) fn storing(&self, traces: &[WindowTrace], messages: &[Message]) {
        if traces.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        for message in messages {
            let key = (message.topic, message.ce_id.clone());
            if waiting.traces.insert(key.clone(), traces.to_vec()).is_none() {
                waiting.order.push_back(key);
            }
        }
        while waiting.order.len() > WAITING {
            let Some(oldest) = waiting.order.pop_front() else { break };
            waiting.traces.remove(&oldest);
        }
    }

    /// A message was acknowledged.
    pub(crate) fn acknowledged(&self, message: &Message) {
        let mut waiting = self.lock();
        if waiting.traces.is_empty() {
            return;
        }
        let Some(traces) = waiting.traces.remove(&(message.topic, message.ce_id.clone())) else { return };
        // Messages are acknowledged in about the order of storing: what is gone is cleared away from the front.
        while waiting.order.front().is_some_and(|first| !waiting.traces.contains_key(first)) {
            waiting.order.pop_front();
        }
        drop(waiting);
        traces.iter().for_each(WindowTrace::delivered);
    }

    /// Exports what there is. Blocks for some seconds at most.
    pub(crate) fn flush(&self) {
        *self.lock() = Waiting::default();
        if let Some(exporter) = self.exporter.get() {
            exporter.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WindowTrace {
    /// The model worked on its batch for so long; looking and listening took `encode` of it, the language model `llm`.
    pub fn answered(&self, worked: Range<Instant>, encode: Duration, llm: Duration) {
        let mut state = self.0.lock();
        let (taken, done) = (state.clock.wall(worked.start), state.clock.wall(worked.end));
        state.reach("queue", taken);
        state.reach("encode", (taken + encode).min(done));
        state.reach("llm", (taken + encode + llm).min(done));
    }

    /// This became of it, and why: its answer was read, after those before it.
    pub fn became(&self, fate: WindowFate, reason: Option<String>) {
        let mut state = self.0.lock();
        // What was shed has waited and no more.
        state.reach_now(if fate == WindowFate::Shed { "queue" } else { "read" });
        state.fate = Some((fate, reason));
    }

    /// What has been done with it since the last step is called so.
    pub fn step(&self, name: &'static str) {
        self.0.lock().reach_now(name);
    }

    /// Its records are in the outbox.
    pub fn stored(&self) {
        let mut state = self.0.lock();
        if state.steps.iter().all(|step| step.name != STORE) {
            state.reach_now(STORE);
        }
    }

    /// One of its records was acknowledged, perhaps before whoever stored it could say so.
    fn delivered(&self) {
        self.stored();
        self.step("deliver");
    }
}

impl State {
    /// A step begins where the last one ended.
    fn reach(&mut self, name: &'static str, to: SystemTime) {
        let (from, to) = (self.reached, to.max(self.reached));
        self.steps.push(Step { name, from, to });
        self.reached = to;
    }

    fn reach_now(&mut self, name: &'static str) {
        self.reach(name, self.clock.wall(Instant::now()));
    }
}

impl Way {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut root = self.root.clone().start(&self.tracer);
        if let Some((fate, reason)) = state.fate.take() {
            root.set_attribute(KeyValue::new("avicuna.window.fate", fate.name()));
            if !matches!(fate, WindowFate::Answered) {
                root.set_status(Status::error(reason.unwrap_or_default()));
            }
        }
        let context = Context::new().with_span(root);
        for step in &state.steps {
            let span = self.tracer.span_builder(step.name).with_start_time(step.from);
            span.start_with_context(&self.tracer, &context).end_with_timestamp(step.to);
        }
        context.span().end_with_timestamp(state.reached);
    }
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("traces.endpoint: {0}")]
pub struct TracesError(String);

/// The wall clock as it was at one instant: all times of a trace go by the same look at it, so that a step of time, or whoever was kept
/// waiting between two clocks, makes no step of the window longer.
#[derive(Debug, Clone, Copy)]
struct Clock {
    at: Instant,
    wall: SystemTime,
}

impl Clock {
    fn new() -> Self {
        Self { at: Instant::now(), wall: SystemTime::now() }
    }

    fn wall(self, instant: Instant) -> SystemTime {
        let before = self.at.checked_duration_since(instant);
        let wall = match before {
            Some(before) => self.wall.checked_sub(before),
            None => self.wall.checked_add(instant.duration_since(self.at)),
        };
        wall.unwrap_or(self.wall)
    }
}
