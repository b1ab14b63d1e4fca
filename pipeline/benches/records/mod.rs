//! Records as the daemon writes them, and what a process holds, for the benchmarks of the outbox.

use avicuna_pipeline::outbox::{Message, Subject, Topic};

/// Messages in one call of the outbox: what some dozens of streams' windows yield together.
pub const BATCH: usize = 500;

/// An event record as the daemon writes it, of one of 16 streams.
pub fn event(index: usize) -> Message {
    let (stream, start) = (format!("cam-{:02}", index % 16), index as f64 / 16.0);
    let payload = serde_json::json!({
        "event_id": format!("{:032x}", (index as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834)),
        "stream_id": stream, "phase": "updated", "revision": index / 16, "label": "a dog barks",
        "text": "From 12 to 34, a dog barks, seen and heard.",
        "start": {"stream": start, "utc": "2026-11-24T02:45:39.120Z"},
        "end": {"stream": start + 4.4, "utc": "2026-11-24T02:45:43.520Z"},
        "score": 0.5 + (index % 997) as f64 / 2000.0, "modality": "both", "clock": "ntp", "av_offset_ms": 12.5,
        "window": {"id": format!("{stream}/{}", index / 16), "start": start - 10.0, "end": start + 10.0},
        "model": "avicuna-small", "latency_ms": {"decode": 31.2, "encode": 84.0, "llm": 911.7, "total": 1034.9}
    });
    Message {
        topic: Topic::Events,
        key: stream,
        ce_type: "avicuna.event.v1".to_owned(),
        ce_id: format!("{index:032x}"),
        ce_time: "2026-11-24T02:45:39.120Z".to_owned(),
        payload: payload.to_string().into_bytes(),
        // Each event is started, updated twice and ended.
        subject: Some(Subject { id: format!("{:032x}", index / 4), is_over: index % 4 == 3 }),
    }
}

/// MiB that this process has in memory.
pub fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it says");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") >> 10
}
