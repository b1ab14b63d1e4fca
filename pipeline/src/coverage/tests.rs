use proptest::prelude::*;

use super::*;
use crate::timeline::UtcTime;

const SECOND: i64 = 1_000_000_000;

fn at(seconds: f64) -> StreamTime {
    StreamTime::from_secs_f64(seconds)
}

fn span(index: u64, hop: u64) -> Span {
    let start = StreamTime((index * hop) as i64 * SECOND);
    let end = start.plus(Duration::from_secs(20));
    Span {
        start,
        end,
        until: end,
        anchor: ClockAnchor { stream: StreamTime(0), utc: UtcTime(1_800_000_000 * SECOND) },
    }
}

fn ledger(hop: u64) -> Ledger {
    Ledger::new("gate".into(), LedgerConfig::new(Duration::from_secs(20), Duration::from_secs(hop)))
}

fn full() -> Held {
    Held { audio: Presence::Present, video: Presence::Present, missing: None }
}

fn watched() -> Coverage {
    Coverage::Watched(full())
}

fn not(reason: &str) -> Coverage {
    Coverage::NotWatched { held: full(), reason: reason.into() }
}

fn told(records: &[CoverageRecord]) -> Vec<(f64, f64, bool, Option<&str>)> {
    let told = |record: &'_ CoverageRecord| (record.start.stream, record.end.stream, record.watched);
    let reasons = records.iter().map(|record| record.reason.as_deref());
    records
        .iter()
        .map(told)
        .zip(reasons)
        .map(|((start, end, watched), reason)| (start, end, watched, reason))
        .collect()
}

#[test]
fn each_window_tells_one_hop() {
    let mut ledger = ledger(10);
    let records = ledger.settle(span(0, 10), watched());
    assert_eq!(told(&records), [(0.0, 10.0, true, None)]);
    assert_eq!(
        (records[0].stream_id.as_str(), records[0].audio, records[0].video),
        ("gate", Presence::Present, Presence::Present)
    );
    assert_eq!(
        (records[0].start.utc.as_str(), records[0].end.utc.as_str()),
        ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:10.000Z")
    );
    assert_eq!(told(&ledger.settle(span(1, 10), watched())), [(10.0, 20.0, true, None)]);
    assert_eq!(told(&ledger.finish(at(30.0))), [(20.0, 30.0, true, None)]);
}

#[test]
fn a_span_is_watched_when_any_window_that_held_it_was() {
    let mut ledger = ledger(10);
    assert_eq!(told(&ledger.settle(span(0, 10), watched())), [(0.0, 10.0, true, None)]);
    assert_eq!(told(&ledger.settle(span(1, 10), not("shed"))), [(10.0, 20.0, true, None)]);
    assert_eq!(told(&ledger.settle(span(2, 10), not("failed"))), [(20.0, 30.0, false, Some("shed; failed"))]);
    assert_eq!(told(&ledger.settle(span(3, 10), watched())), [(30.0, 40.0, true, None)]);
}

#[test]
fn equal_neighbours_become_one_record_up_to_the_longest() {
    let config = LedgerConfig { longest: Duration::from_secs(25), ..ledger(10).config };
    let mut ledger = Ledger::new("gate".into(), config);
    let records: Vec<_> = (0..6).flat_map(|index| ledger.settle(span(index, 10), watched())).collect();
    assert_eq!(told(&records), [(0.0, 25.0, true, None), (25.0, 50.0, true, None)]);
    // The window from 50 s to 70 s, and with it what only it held, is the last one that was watched.
    let records: Vec<_> = (6..8).flat_map(|index| ledger.settle(span(index, 10), not("shed"))).collect();
    assert_eq!(told(&records), [(50.0, 70.0, true, None)]);
    assert_eq!(told(&ledger.finish(at(90.0))), [(70.0, 90.0, false, Some("shed"))]);
}

#[test]
fn what_is_missing_is_said_with_its_reason() {
    let mut ledger = ledger(10);
    let silent =
        Held { audio: Presence::Missing, video: Presence::Present, missing: Some("no audio track".into()) };
    let records = ledger.settle(span(0, 10), Coverage::Watched(silent));
    assert_eq!(told(&records), [(0.0, 10.0, true, Some("no audio track"))]);
    assert_eq!((records[0].audio, records[0].video), (Presence::Missing, Presence::Present));
}

#[test]
fn a_full_or_empty_window_is_sure_of_what_it_shares_with_a_partly_filled_one() {
    let part = || Held { audio: Presence::Partial, video: Presence::Partial, missing: Some("a gap".into()) };
    let mut ledger = ledger(10);
    ledger.settle(span(0, 10), Coverage::Watched(part()));
    let shared = ledger.settle(span(1, 10), Coverage::Watched(full()));
    assert_eq!((shared[0].audio, shared[0].reason.as_deref()), (Presence::Present, None));
    ledger.settle(span(2, 10), Coverage::Watched(part()));
    let blind = Coverage::NotWatched { held: Held::nothing("lost"), reason: "blind: lost".into() };
    let shared = ledger.settle(span(3, 10), blind);
    // An answer about what was there is none about what was not.
    assert_eq!(told(&shared), [(30.0, 40.0, false, Some("blind: a gap; lost"))]);
    assert_eq!(shared[0].audio, Presence::Missing);
}

#[test]
fn a_reason_does_not_repeat_itself() {
    let part = |missing: &str| Held {
        audio: Presence::Partial,
        video: Presence::Partial,
        missing: Some(missing.into()),
    };
    let mut ledger = ledger(10);
    ledger.settle(span(0, 10), Coverage::Watched(part("video has holes; audio stopped")));
    let shared = ledger.settle(span(1, 10), Coverage::Watched(part("the stream ended; audio stopped")));
    assert_eq!(told(&shared), [(10.0, 20.0, true, Some("video has holes; audio stopped; the stream ended"))]);
    let lost = |reason: &str| Coverage::NotWatched {
        held: Held::nothing(reason),
        reason: format!("blind: {reason}"),
    };
    ledger.settle(span(2, 10), lost("outage: unreachable; check that the server runs"));
    ledger.settle(span(3, 10), lost("outage: timeout; check that the server runs"));
    let shared = ledger.settle(span(4, 10), lost("outage: timeout; check that the server runs"));
    assert_eq!(told(&shared)[0].3, Some("blind: outage: timeout; check that the server runs"));
}

#[test]
fn many_blind_windows_come_as_one_and_are_cut_to_length() {
    let mut ledger = ledger(10);
    ledger.settle(span(0, 10), watched());
    let outage = Span { end: span(4, 10).end, until: span(4, 10).end, ..span(1, 10) };
    let blind = Coverage::NotWatched { held: Held::nothing("lost"), reason: "blind: lost".into() };
    let records = ledger.settle(outage, blind);
    let lost = Some("blind: lost");
    assert_eq!(
        told(&records),
        [
            (10.0, 20.0, true, None),
            (20.0, 30.0, false, lost),
            (30.0, 40.0, false, lost),
            (40.0, 50.0, false, lost),
        ]
    );
    assert_eq!(told(&ledger.settle(span(5, 10), watched())), [(50.0, 60.0, true, None)]);
}

#[test]
fn time_without_a_window_is_not_watched() {
    let mut ledger = ledger(10);
    ledger.settle(span(0, 10), watched());
    let records = ledger.settle(span(3, 10), watched());
    assert_eq!(
        told(&records),
        [(10.0, 20.0, true, None), (20.0, 30.0, false, Some(NO_WINDOW)), (30.0, 40.0, true, None),]
    );
}

#[test]
fn the_records_end_with_the_stream() {
    let mut ledger = ledger(10);
    ledger.settle(span(0, 10), watched());
    let last = Span { until: at(13.5), ..span(1, 10) };
    assert_eq!(ledger.settle(last, watched()), [], "it could become longer");
    assert_eq!(told(&ledger.finish(at(13.5))), [(10.0, 13.5, true, None)]);
    let mut empty = Ledger::new("gate".into(), ledger.config);
    assert_eq!(empty.finish(at(0.0)), []);
    assert_eq!(told(&empty.finish(at(4.0))), [(0.0, 4.0, false, Some(NO_WINDOW))]);
}

#[test]
fn a_window_that_comes_late_tears_no_hole() {
    let mut ledger = ledger(10);
    ledger.settle(span(0, 10), watched());
    ledger.settle(span(4, 10), watched());
    assert_eq!(ledger.settle(span(1, 10), watched()), []);
    assert_eq!(told(&ledger.settle(span(5, 10), watched())), [(50.0, 60.0, true, None)]);
}

fn outcome() -> impl Strategy<Value = Coverage> {
    let presence = || prop::sample::select(vec![Presence::Present, Presence::Partial, Presence::Missing]);
    (presence(), presence(), any::<bool>(), prop::sample::select(vec!["shed", "failed"])).prop_map(
        |(audio, video, answered, reason)| {
            let complete = audio == Presence::Present && video == Presence::Present;
            let held = Held { audio, video, missing: (!complete).then(|| "a gap".into()) };
            if answered {
                Coverage::Watched(held)
            } else {
                Coverage::NotWatched { held, reason: reason.into() }
            }
        },
    )
}

proptest! {
    #[test]
    fn the_records_tile_the_stream_and_are_right(
        hop in prop::sample::select(vec![1u64, 2, 5, 10, 20]),
        longest in 1u64..40_000,
        // Windows that never come, and ones that come as a row.
        windows in proptest::collection::vec((outcome(), 1u64..4, 0u64..3), 1..40),
        cut in 0u64..20_000,
        late in any::<bool>(),
    ) {
        let config = LedgerConfig { longest: Duration::from_millis(longest), ..ledger(hop).config };
        let mut ledger = Ledger::new("gate".into(), config);
        let (mut records, mut spans, mut next) = (Vec::new(), Vec::new(), 0);
        for (outcome, count, skipped) in windows {
            let (first, last) = (span(next, hop), span(next + count - 1, hop));
            let window = Span { end: last.end, until: last.end, ..first };
            records.extend(ledger.settle(window, outcome.clone()));
            if late {
                records.extend(ledger.settle(span(0, hop), outcome.clone()));
            }
            spans.push((window, outcome));
            next += count + skipped;
        }
        let end = StreamTime(spans.last().expect("one at least").0.end.0 - cut as i64 * 1_000_000);
        records.extend(ledger.finish(end));

        let mut reached = 0.0;
        for pair in records.windows(2) {
            let same = |one: &CoverageRecord| (one.watched, one.audio, one.video, one.reason.clone());
            let length = pair[0].end.stream - pair[0].start.stream;
            prop_assert!(same(&pair[0]) != same(&pair[1]) || length >= longest as f64 / 1e3 - 1e-6, "not merged: {:?}", pair);
        }
        for record in &records {
            prop_assert_eq!(record.start.stream, reached);
            prop_assert!(record.end.stream > record.start.stream);
            prop_assert!(record.end.stream - record.start.stream <= longest as f64 / 1e3 + 1e-6);
            prop_assert!(record.watched || record.reason.is_some());
            reached = record.end.stream;
            if !late {
                let (start, end) = (at(record.start.stream), at(record.end.stream));
                let holders = spans.iter().filter(|(span, _)| span.start < end && start < span.end);
                let answered = holders.filter(|(_, outcome)| matches!(outcome, Coverage::Watched(_)));
                let something = record.audio != Presence::Missing || record.video != Presence::Missing;
                prop_assert_eq!(record.watched, answered.count() > 0 && something, "{:?}", record);
            }
        }
        prop_assert!(reached >= end.as_secs_f64() && reached < end.as_secs_f64() + 20.0);
    }
}
