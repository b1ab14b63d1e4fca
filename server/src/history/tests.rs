//! The history on a real file.

use std::collections::BTreeSet;
use std::path::Path;

use avicuna_pipeline::record::{
    Answered, ErrorKind, ErrorRecord, EventRecord, Found, Latency, Phase, WindowFate, WindowRef,
};
use avicuna_pipeline::stream::{Instant, Modality, Presence};
use avicuna_pipeline::timeline::{ClockQuality, UtcTime};

use super::query::{self};
use super::*;

const SECOND: i64 = 1_000_000_000;

fn open(folder: &Path) -> History {
    let hour = Duration::from_secs(3600);
    let path = folder.join("history.sqlite");
    History::open(&HistoryConfig { path, keep: hour, keep_windows: hour, max_bytes: 1 << 30 })
        .expect("it opens")
}

/// `seconds` after 2026-11-29T00:00:00Z.
fn at(seconds: i64) -> UtcTime {
    UtcTime::from_rfc3339("2026-11-29T00:00:00Z").expect("a time").offset(seconds * SECOND)
}

fn instant(seconds: i64) -> Instant {
    Instant { stream: seconds as f64, utc: at(seconds).to_rfc3339() }
}

fn event(stream: &str, id: &str, label: &str, start: i64, revision: u32, phase: Phase) -> EventRecord {
    EventRecord {
        event_id: id.to_owned(),
        stream_id: stream.to_owned(),
        phase,
        revision,
        label: label.to_owned(),
        text: format!("From 00 to 99, {label}."),
        start: instant(start),
        end: instant(start + 5 + i64::from(revision)),
        score: 0.5 + 0.1 * f64::from(revision),
        modality: Modality::Audio,
        clock: ClockQuality::Arrival,
        av_offset_ms: None,
        window: WindowRef { id: format!("{stream}/0"), start: 0.0, end: 20.0 },
        model: "fake".to_owned(),
        latency_ms: Latency::default(),
        evidence: None,
    }
}

fn window(stream: &str, start: i64) -> WindowRecord {
    let found = Found { label: "a dog".into(), start: 1.0, end: 2.0, score: 0.3, modality: None, least: 0.5 };
    WindowRecord {
        id: format!("{stream}/{start}"),
        stream_id: stream.to_owned(),
        start: instant(start),
        end: instant(start + 20),
        fate: WindowFate::Answered,
        reason: None,
        audio: Presence::Present,
        video: Presence::Present,
        answers: vec![Answered { query: None, text: "Nothing.".into(), found: vec![found] }],
    }
}

/// Until everything before is in the file.
async fn settled(history: &History) {
    history.change(|_| Ok(())).await.expect("it writes");
}

fn keep(history: &History, records: &[EventRecord]) {
    let messages: Vec<Message> = records.iter().map(EventRecord::message).collect();
    history.keep(&messages, &[], &[], Vec::new());
}

async fn events(history: &History, filter: EventFilter) -> Vec<String> {
    let filter = EventFilter { limit: if filter.limit == 0 { 100 } else { filter.limit }, ..filter };
    let rows = history.read(move |file| query::events(file, &filter)).await.expect("it reads");
    rows.into_iter().map(|row| row.event.event_id).collect()
}

#[tokio::test]
async fn events_are_counted_where_they_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = open(folder.path());
    let seen =
        EventRecord { modality: Modality::Both, ..event("yard", "e4", "a dog", 119, 0, Phase::Started) };
    keep(
        &history,
        &[
            event("yard", "e1", "a dog", 10, 0, Phase::Started),
            event("yard", "e1", "a dog", 10, 1, Phase::Ended),
            event("yard", "e2", "The dog", 69, 0, Phase::Started),
            event("gate", "e3", "a car", 70, 0, Phase::Started),
            seen,
            event("yard", "e5", "a dog", 130, 0, Phase::Started),
        ],
    );
    settled(&history).await;
    let counted = async |filter: EventFilter, limit: usize| {
        let span = (at(10), at(130));
        let counts = history.read(move |file| counts::counts(file, &filter, span, 60, limit)).await;
        let all = counts.expect("it reads").into_iter();
        all.map(|count| (count.stream, count.bucket, [count.visual, count.audio, count.both]))
            .collect::<Vec<_>>()
    };
    let (gate, yard) = ("gate".to_owned(), "yard".to_owned());
    let all = [(gate, 1, [0, 1, 0]), (yard.clone(), 0, [0, 2, 0]), (yard.clone(), 1, [0, 0, 1])];
    assert_eq!(counted(EventFilter::default(), 100).await, all);
    assert_eq!(counted(EventFilter::default(), 2).await, all[..2]);
    let dogs = EventFilter { label: Some("dog".into()), phase: Some(Phase::Ended), ..EventFilter::default() };
    assert_eq!(counted(dogs, 100).await, [(yard, 0, [0, 1, 0])]);
}

#[tokio::test]
async fn an_event_is_found_by_what_is_known_of_it_in_its_last_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = open(folder.path());
    keep(
        &history,
        &[
            event("yard", "e1", "a dog", 10, 0, Phase::Started),
            event("yard", "e1", "a dog", 10, 1, Phase::Ended),
            event("gate", "e2", "a car", 12, 0, Phase::Started),
            event("yard", "e3", "Dog.", 100, 0, Phase::Started),
        ],
    );
    settled(&history).await;
    assert_eq!(events(&history, EventFilter::default()).await, ["e3", "e2", "e1"]);
    let of = |stream: &str| EventFilter { stream: Some(stream.into()), ..EventFilter::default() };
    assert_eq!(events(&history, of("yard")).await, ["e3", "e1"]);
    let called = EventFilter { label: Some("a dog".into()), ..EventFilter::default() };
    assert_eq!(events(&history, called).await, ["e3", "e1"]);
    let during = |from: i64, to: i64| EventFilter {
        span: Span { from: Some(at(from)), to: Some(at(to)) },
        ..EventFilter::default()
    };
    // It ends at 16 since its second record; a span holds what overlaps it.
    assert_eq!(events(&history, during(15, 20)).await, ["e2", "e1"]);
    assert_eq!(events(&history, during(16, 20)).await, ["e2"]);
    assert_eq!(events(&history, during(0, 12)).await, ["e1"]);
    assert_eq!(
        events(&history, EventFilter { min_score: Some(0.55), ..EventFilter::default() }).await,
        ["e1"]
    );
    let open = EventFilter { phase: Some(Phase::Started), ..EventFilter::default() };
    assert_eq!(events(&history, open).await, ["e3", "e2"]);
    let seen = EventFilter { modality: Some(Modality::Visual), ..EventFilter::default() };
    assert!(events(&history, seen).await.is_empty());
    let told = history.read(|file| query::revisions(file, "e1")).await.expect("it reads");
    assert_eq!(told.iter().map(|record| record.revision).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn events_of_a_label_are_looked_up_and_not_looked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = open(folder.path());
    let plan = "EXPLAIN QUERY PLAN SELECT payload FROM events WHERE key = 'dog' ORDER BY start_ms DESC, event_id DESC LIMIT 9";
    let told = history.read(move |file| Ok(file.query_row(plan, [], |row| row.get::<_, String>(3))?)).await;
    let told = told.expect("it reads");
    assert!(told.contains("SEARCH events USING INDEX events_key (key=?)"), "{told}");
}

#[tokio::test]
async fn pages_hold_every_event_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = open(folder.path());
    // Several start in the same millisecond.
    let records: Vec<_> = (0..25)
        .map(|n| event("yard", &format!("e{n:02}"), "a dog", i64::from(n / 4), 0, Phase::Started))
        .collect();
    keep(&history, &records);
    settled(&history).await;
    let (mut seen, mut after) = (BTreeSet::new(), None);
    loop {
        let filter = EventFilter { after: after.clone(), limit: 7, ..EventFilter::default() };
        let rows = history.read(move |file| query::events(file, &filter)).await.expect("it reads");
        let Some(last) = rows.last() else { break };
        after = Cursor::parse(&last.cursor.text());
        assert!(after.is_some());
        for row in rows {
            assert!(seen.insert(row.event.event_id.clone()), "{} came twice", row.event.event_id);
        }
    }
    assert_eq!(seen.len(), 25);
}

#[tokio::test]
async fn a_listener_misses_nothing_and_hears_nothing_twice_however_late_it_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = open(folder.path());
    let some = |from: usize, to: usize| -> Vec<EventRecord> {
        (from..to).map(|n| event("yard", &format!("e{n}"), "a dog", n as i64, 0, Phase::Started)).collect()
    };
    keep(&history, &some(0, 3));
    settled(&history).await;
    let mut from_now = history.listen(None);
    let mut from_first = history.listen(Some(1));
    // More than the ring holds.
    for piece in 0..30 {
        keep(&history, &some(3 + piece * 100, 3 + (piece + 1) * 100));
    }
    settled(&history).await;
    for (listener, first, last) in [(&mut from_now, 4, 3003), (&mut from_first, 2, 3003)] {
        for seq in first..=last {
            assert_eq!(listener.next().await.expect("it reads").expect("it is open").seq, seq);
        }
    }
    // And what comes then.
    keep(&history, &some(4000, 4001));
    assert_eq!(from_now.next().await.expect("it reads").expect("it is open").seq, 3004);
}

#[tokio::test]
async fn a_record_that_is_kept_already_is_not_kept_again_and_numbers_go_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let records = [event("yard", "e1", "a dog", 10, 0, Phase::Started)];
    let history = open(folder.path());
    keep(&history, &records);
    settled(&history).await;
    drop(history);
    let history = open(folder.path());
    let mut listener = history.listen(Some(0));
    keep(&history, &records);
    let error = ErrorRecord::new(&"yard".into(), at(0), ErrorKind::Source, "gone", None);
    history.keep(&[error.message()], &[], &[], Vec::new());
    settled(&history).await;
    let first = listener.next().await.expect("it reads").expect("it is open");
    let second = listener.next().await.expect("it reads").expect("it is open");
    assert_eq!((first.seq, first.what.name()), (1, "started"));
    assert!(second.seq > first.seq && second.what.name() == "error", "{second:?}");
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes_and_reviews_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = open(folder.path());
    let config = |keep: u64, max_bytes: u64| HistoryConfig {
        path: folder.path().join("history.sqlite"),
        keep: Duration::from_secs(keep),
        keep_windows: Duration::from_secs(keep),
        max_bytes,
    };
    let records: Vec<_> =
        (0..5000).map(|n| event("yard", &format!("e{n}"), "a dog", n, 0, Phase::Started)).collect();
    keep(&history, &records);
    history.keep(&[], &(0..5000).map(|n| window("yard", n)).collect::<Vec<_>>(), &[], Vec::new());
    settled(&history).await;
    let reviewed = records[0].clone();
    history.change(move |file| query::keep_review(file, &reviewed, "{}", at(0))).await.expect("it is kept");
    let count = |table: &'static str| {
        let history = history.clone();
        async move {
            let sql = format!("SELECT count(*) FROM {table}");
            history
                .read(move |file| Ok(file.query_row(&sql, [], |row| row.get::<_, i64>(0))?))
                .await
                .expect("it reads")
        }
    };
    let tidy = |limits: HistoryConfig, now: UtcTime| {
        let mut file = Connection::open(&limits.path).expect("it opens");
        keep::tidy(&mut file, &limits, now).expect("it tidies");
    };
    let now = UtcTime::now();
    tidy(config(3600, 1 << 30), now);
    assert_eq!((count("events").await, count("windows").await), (5000, 5000), "nothing is old");
    let size = || std::fs::metadata(folder.path().join("history.sqlite")).map(|file| file.len()).unwrap_or(0);
    let before = size();
    tidy(config(3600, before * 9 / 10), now);
    assert!(count("windows").await < 5000 && count("events").await == 5000, "windows go first");
    assert!(size() <= before * 19 / 20, "the disk gets its space back: {before} became {}", size());
    tidy(config(3600, 300_000), now);
    assert!(count("windows").await == 0 && count("events").await < 5000);
    tidy(config(3600, 1 << 30), now.offset(2 * 3600 * SECOND));
    assert_eq!((count("events").await, count("records").await, count("reviews").await), (0, 0, 1));
}

#[test]
fn a_file_of_something_else_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.sqlite");
    Connection::open(&path).expect("it opens").execute_batch("CREATE TABLE mine (a)").expect("it is made");
    let hour = Duration::from_secs(3600);
    let config = HistoryConfig { path: path.clone(), keep: hour, keep_windows: hour, max_bytes: 1 };
    let error = History::open(&config).expect_err("it is another's").to_string();
    assert!(error.contains("another program") && error.contains("history.sqlite"), "{error}");
    std::fs::write(&path, "no database at all, but long enough to be looked at").expect("it is written");
    assert!(History::open(&config).is_err());
}

#[tokio::test]
async fn what_was_forgotten_before_it_was_heard_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = open(folder.path());
    let records: Vec<_> =
        (0..10).map(|n| event("yard", &format!("e{n}"), "a dog", n, 0, Phase::Started)).collect();
    keep(&history, &records[..6]);
    // What is there already uses no number up, and is no hole.
    keep(&history, &records[..6]);
    keep(&history, &records[6..7]);
    settled(&history).await;
    let forget = |below: i64| {
        history.change(move |file| Ok(file.execute("DELETE FROM records WHERE seq < ?1", [below])?))
    };
    assert_eq!(forget(4).await.expect("it forgets"), 3);
    let mut listener = history.listen(Some(1));
    let next = listener.next().await.expect("it reads").expect("it is open");
    assert_eq!((next.seq, listener.missed(), listener.missed()), (4, 2, 0));
    for seq in 5..=7 {
        let next = listener.next().await.expect("it reads").expect("it is open");
        assert_eq!((next.seq, listener.missed()), (seq, 0));
    }
    let mut from_all = history.listen(Some(2));
    forget(8).await.expect("it forgets");
    keep(&history, &records[7..]);
    settled(&history).await;
    let next = from_all.next().await.expect("it reads").expect("it is open");
    assert_eq!((next.seq, from_all.missed()), (8, 5), "3 to 7 are gone");
}

#[tokio::test]
async fn a_file_of_the_first_version_gets_what_it_lacks_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = open(folder.path());
    keep(&history, &[event("yard", "e1", "a dog", 10, 0, Phase::Started)]);
    settled(&history).await;
    drop(history);
    let path = folder.path().join("history.sqlite");
    let old = "DROP TABLE announced; DROP TABLE positions; DROP INDEX records_topic; DROP INDEX events_key; DROP INDEX events_stream;
        ALTER TABLE events DROP COLUMN key; CREATE INDEX events_stream ON events (stream, start_ms, event_id); PRAGMA user_version = 1;";
    Connection::open(&path).and_then(|file| file.execute_batch(old)).expect("an old file");
    let history = open(folder.path());
    assert_eq!(events(&history, EventFilter::default()).await, ["e1"]);
    let dogs = EventFilter { label: Some("A Dog.".into()), ..EventFilter::default() };
    assert_eq!(events(&history, dogs).await, ["e1"], "its label has a key now");
    history.change(|file| Ok(query::keep_position(file, "ops", 7)?)).await.expect("it is kept");
    history.change(|file| Ok(query::keep_position(file, "ops", 9)?)).await.expect("it is kept");
    drop(history);
    let history = open(folder.path());
    let place = |sink: &'static str| history.read(move |file| Ok(query::position(file, sink)?));
    assert_eq!(
        (place("ops").await.expect("it reads"), place("home").await.expect("it reads")),
        (Some(9), None)
    );
    let waiting = history.read(|file| Ok(query::count_after(file, &["events", "alerts"], 0)?)).await;
    assert_eq!(waiting.expect("it reads"), 1);
    let change = |write: fn(&Connection, &str, &str) -> rusqlite::Result<()>| {
        history.change(move |file| Ok(write(file, "home", "topic")?))
    };
    let announced = || history.read(|file| Ok(query::announced(file, "home")?));
    change(query::keep_announced).await.expect("it is kept");
    change(query::keep_announced).await.expect("once more is once");
    assert_eq!(announced().await.expect("it reads"), ["topic"]);
    change(query::forget_announced).await.expect("it is forgotten");
    assert_eq!(announced().await.expect("it reads"), [""; 0]);
}
