//! What is exported of a window's way.

use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

use super::*;

/// Traces that stay here.
fn kept() -> (Traces, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let traces = Traces::default();
    assert!(traces.exporter.set(Exporter::of(provider)).is_ok());
    (traces, exporter)
}

fn message(id: usize) -> Message {
    Message {
        topic: Topic::Events,
        key: "cam".to_owned(),
        ce_type: "avicuna.event.v1".to_owned(),
        ce_id: id.to_string(),
        ce_time: "2026-12-01T00:00:00Z".to_owned(),
        payload: Vec::new(),
        subject: None,
    }
}

fn names(spans: &[SpanData]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_ref()).collect()
}

#[test]
fn a_window_is_over_with_its_last_record() {
    let (traces, exporter) = kept();
    let spans = || exporter.get_finished_spans().expect("they are kept");
    let second = Duration::from_secs(1);
    let closed = Instant::now().checked_sub(2 * second).expect("it runs for longer");
    let captured = UtcTime::now().offset(-20_000_000_000);
    let trace = traces.begin(("cam", 3), Some(captured), closed).expect("it is exported");
    trace.answered(closed..closed + second, second / 4, second / 2);
    trace.became(WindowFate::Answered, None);
    let messages = [message(0), message(1)];
    traces.storing(std::slice::from_ref(&trace), &messages);
    trace.stored();
    drop(trace);
    traces.acknowledged(&message(7));
    traces.acknowledged(&messages[1]);
    assert!(spans().is_empty(), "its first record is on its way");
    traces.acknowledged(&messages[0]);
    let spans = spans();
    assert_eq!(
        names(&spans),
        ["fill", "queue", "encode", "llm", "read", "store", "deliver", "deliver", "window"]
    );
    let (root, steps) = spans.split_last().expect("spans");
    assert_eq!((root.parent_span_id, root.status.clone()), (SpanId::INVALID, Status::Unset));
    assert_eq!(root.start_time, SystemTime::from(captured));
    let mut reached = root.start_time;
    for step in steps {
        assert_eq!(
            (step.parent_span_id, step.start_time),
            (root.span_context.span_id(), reached),
            "{}",
            step.name
        );
        reached = step.end_time;
    }
    assert_eq!(reached, root.end_time);
    let took = |name| {
        let step = steps.iter().find(|step| step.name == name)?;
        step.end_time.duration_since(step.start_time).ok()
    };
    assert_eq!(took("encode"), Some(second / 4));
    assert_eq!(took("llm"), Some(second / 2));
}

#[test]
fn what_is_acknowledged_before_its_writer_says_so_was_stored_first() {
    let (traces, exporter) = kept();
    let trace = traces.begin(("cam", 3), None, Instant::now()).expect("it is exported");
    trace.became(WindowFate::Answered, None);
    traces.storing(std::slice::from_ref(&trace), &[message(0)]);
    traces.acknowledged(&message(0));
    trace.stored();
    drop(trace);
    let spans = exporter.get_finished_spans().expect("they are kept");
    assert_eq!(names(&spans), ["read", "store", "deliver", "window"]);
}

#[test]
fn what_was_shed_is_an_error_with_its_reason() {
    let (traces, exporter) = kept();
    let trace = traces.begin(("cam", 0), None, Instant::now()).expect("it is exported");
    trace.became(WindowFate::Shed, Some("the model could not keep up".to_owned()));
    drop(trace);
    let spans = exporter.get_finished_spans().expect("they are kept");
    assert_eq!(names(&spans), ["queue", "window"]);
    assert_eq!(spans[1].status, Status::error("the model could not keep up"));
}

#[test]
fn no_more_is_waited_for_than_can_be_held() {
    let (traces, exporter) = kept();
    for index in 0..WAITING + 3 {
        let trace = traces.begin(("cam", index as u64), None, Instant::now()).expect("it is exported");
        traces.storing(&[trace], &[message(index)]);
    }
    assert_eq!(exporter.get_finished_spans().expect("they are kept").len(), 3, "the oldest three");
    assert_eq!(traces.lock().order.len(), WAITING);
    // Whatever order they come in, nothing stays behind.
    for index in (0..WAITING + 3).rev() {
        traces.acknowledged(&message(index));
    }
    let waiting = traces.lock();
    assert_eq!((waiting.order.len(), waiting.traces.len()), (0, 0));
}

#[test]
fn without_a_collector_nothing_is_noted() {
    let traces = Traces::default();
    traces.start(&TracesConfig::default()).expect("nothing to start");
    assert!(traces.begin(("cam", 0), None, Instant::now()).is_none());
}
