mod properties;

use avicuna_models::slots::Slot;

use super::*;
use crate::record::Phase;
use crate::stream::Modality;
use crate::timeline::UtcTime;

const SECOND: i64 = 1_000_000_000;

/// A stream of windows of 20 s.
struct Stream {
    tracker: Tracker,
    hop: u64,
    next: u64,
}

impl Stream {
    fn new(hop: u64) -> Self {
        Self::with(hop, |_| {})
    }

    fn with(hop: u64, change: impl FnOnce(&mut TrackConfig)) -> Self {
        let mut config = TrackConfig::new(Duration::from_secs(20), Duration::from_secs(hop));
        change(&mut config);
        Self { tracker: Tracker::new("gate".into(), config), hop, next: 0 }
    }

    /// The next window, in which localizations were found.
    fn window(&mut self, found: &[Localization]) -> Vec<EventRecord> {
        let seen = Seen { window: facts(self.next, self.hop), localizations: found.to_vec() };
        self.next += 1;
        self.tracker.observe(&seen)
    }

    /// The next windows, which nobody looked at.
    fn blind(&mut self, windows: u64) -> Vec<EventRecord> {
        let (first, last) = (facts(self.next, self.hop), facts(self.next + windows - 1, self.hop));
        self.next += windows;
        self.tracker.blind(first.start, last.end)
    }
}

fn facts(index: u64, hop: u64) -> WindowFacts {
    let start = StreamTime((index * hop) as i64 * SECOND);
    let end = start.plus(Duration::from_secs(20));
    WindowFacts {
        id: WindowId { stream: "gate".into(), index },
        start,
        end,
        anchor: ClockAnchor { stream: StreamTime(0), utc: UtcTime(1_800_000_000 * SECOND) },
        clock: ClockQuality::Ntp,
        av_offset_ms: Some(12.5),
        audio: Presence::Present,
        visual: Presence::Present,
        held: std::iter::once(start..end).collect(),
        latency: Latency::default(),
        model: "small".into(),
    }
}

fn found(label: &str, start: u8, end: u8) -> Localization {
    let slot = |value| Slot::new(value).expect("a test writes two digits");
    let text = format!("From {start:02} to {end:02}, {label}.");
    let (start, end) = (slot(start), slot(end));
    Localization { label: label.into(), text, start, end, score: 0.8, queried: false, modality: None }
}

fn scored(score: f64, localization: Localization) -> Localization {
    Localization { score, ..localization }
}

fn evident(modality: Modality, localization: Localization) -> Localization {
    Localization { modality: Some(modality), ..localization }
}

/// Phase, revision, start and end in seconds.
fn told(records: &[EventRecord]) -> Vec<(Phase, u32, f64, f64)> {
    let told = |record: &EventRecord| (record.phase, record.revision, record.start.stream, record.end.stream);
    records.iter().map(told).collect()
}

#[test]
fn an_event_inside_one_window_starts_and_ends_with_it() {
    let mut stream = Stream::new(20);
    let records = stream.window(&[found("a dog", 20, 50)]);
    assert_eq!(told(&records), [(Phase::Started, 0, 4.0, 10.0), (Phase::Ended, 1, 4.0, 10.0)]);
    assert_eq!(records[0].event_id, records[1].event_id);
    assert_eq!(stream.tracker.finish(StreamTime(20 * SECOND)), []);
}

#[test]
fn a_record_says_what_it_rests_on() {
    let mut stream = Stream::new(10);
    stream.window(&[]);
    let records = stream.window(&[evident(Modality::Audio, found("A dog", 20, 60))]);
    let [record] = &records[..] else { panic!("one record, not {records:?}") };
    assert_eq!((record.stream_id.as_str(), record.label.as_str()), ("gate", "A dog"));
    assert_eq!((record.text.as_str(), record.score), ("From 20 to 60, A dog.", 0.8));
    assert_eq!((record.start.stream, record.start.utc.as_str()), (14.0, "2027-01-15T08:00:14.000Z"));
    assert_eq!((record.end.stream, record.end.utc.as_str()), (22.0, "2027-01-15T08:00:22.000Z"));
    assert_eq!((record.window.id.as_str(), record.window.start, record.window.end), ("gate/1", 10.0, 30.0));
    assert_eq!(
        (record.modality, record.clock, record.av_offset_ms),
        (Modality::Audio, ClockQuality::Ntp, Some(12.5))
    );
    assert_eq!(record.model, "small");
}

#[test]
fn an_event_over_many_windows_is_one_event() {
    let mut stream = Stream::new(10);
    // A siren from 12 s to 44 s.
    assert_eq!(told(&stream.window(&[found("a siren", 60, 99)])), [(Phase::Started, 0, 12.0, 20.0)]);
    assert_eq!(told(&stream.window(&[found("a  Siren", 10, 99)])), [(Phase::Updated, 1, 12.0, 30.0)]);
    // Cut at its left edge too: the start stays.
    assert_eq!(told(&stream.window(&[found("the siren", 0, 99)])), [(Phase::Updated, 2, 12.0, 40.0)]);
    assert_eq!(told(&stream.window(&[found("siren", 0, 70)])), [(Phase::Updated, 3, 12.0, 44.0)]);
    // The next window starts at 40 s and could see it to go on; it does not.
    assert_eq!(told(&stream.window(&[])), [(Phase::Ended, 4, 12.0, 44.0)]);
}

#[test]
fn the_end_is_taken_from_the_window_that_saw_it() {
    let mut stream = Stream::new(10);
    stream.window(&[found("a dog", 80, 99)]);
    assert_eq!(told(&stream.window(&[found("a dog", 30, 45)])), [(Phase::Updated, 1, 16.0, 19.0)]);
}

#[test]
fn a_wrong_end_is_forgotten_once_the_event_is_seen_after_it() {
    let mut stream = Stream::new(10);
    assert_eq!(told(&stream.window(&[found("a siren", 50, 75)])), [(Phase::Started, 0, 10.0, 15.0)]);
    assert_eq!(told(&stream.window(&[found("a siren", 0, 99)])), [(Phase::Updated, 1, 10.0, 30.0)]);
    stream.window(&[found("a siren", 0, 99)]);
    assert_eq!(told(&stream.window(&[found("a siren", 0, 70)])), [(Phase::Updated, 3, 10.0, 44.0)]);
}

#[test]
fn what_has_not_changed_is_not_told_again() {
    let mut stream = Stream::new(2);
    stream.window(&[found("a dog", 50, 70)]);
    assert_eq!(stream.window(&[found("a dog", 40, 60)]), []);
    assert_eq!(stream.window(&[found("a dog", 31, 51)]), [], "0.2 s is within the tolerance");
    assert_eq!(stream.tracker.open(), 1);
}

#[test]
fn a_better_score_or_more_evidence_is_an_update() {
    let mut stream = Stream::new(2);
    stream.window(&[scored(0.4, found("a dog", 50, 70))]);
    assert_eq!(stream.window(&[scored(0.45, found("a dog", 40, 60))]), []);
    let better = stream.window(&[scored(0.9, found("a dog", 30, 50))]);
    assert_eq!(better.iter().map(|record| (record.revision, record.score)).collect::<Vec<_>>(), [(1, 0.9)]);
    let heard = stream.window(&[evident(Modality::Audio, scored(0.2, found("a dog", 20, 40)))]);
    assert_eq!(
        (heard[0].modality, heard[0].score),
        (Modality::Audio, 0.9),
        "what is said beats what was held"
    );
    let seen = stream.window(&[evident(Modality::Visual, found("a dog", 10, 30))]);
    assert_eq!((seen[0].revision, seen[0].modality), (3, Modality::Both));
}

#[test]
fn evidence_that_no_answer_names_is_what_the_window_held() {
    for (audio, visual, modality) in [
        (Presence::Present, Presence::Missing, Modality::Audio),
        (Presence::Missing, Presence::Partial, Modality::Visual),
        (Presence::Partial, Presence::Present, Modality::Both),
    ] {
        let mut stream = Stream::new(20);
        let window = WindowFacts { audio, visual, ..facts(0, 20) };
        let records = stream.tracker.observe(&Seen { window, localizations: vec![found("a dog", 20, 50)] });
        assert_eq!(records[0].modality, modality);
    }
}

#[test]
fn what_is_told_of_where_nothing_was_is_left_out() {
    let mut stream = Stream::new(20);
    let at = |seconds: i64| StreamTime(seconds * SECOND);
    let window = WindowFacts { held: vec![at(0)..at(4), at(10)..at(12)], ..facts(0, 20) };
    // 4 to 10 s and 12 s to the end held nothing; 3 to 5 s some of it.
    let localizations = vec![
        found("a cat", 20, 50),
        found("a zebra", 60, 99),
        found("a cow", 90, 90),
        found("a dog", 15, 25),
    ];
    let records = stream.tracker.observe(&Seen { window, localizations });
    assert_eq!(told(&records), [(Phase::Started, 0, 3.0, 5.0), (Phase::Ended, 1, 3.0, 5.0)]);
    assert_eq!((stream.tracker.baseless(), stream.tracker.weak()), (3, 0));
}

#[test]
fn two_occurrences_in_one_window_stay_two() {
    let mut stream = Stream::new(2);
    // 0.4 s apart: less than the gap over which windows merge.
    let records = stream.window(&[found("a dog", 20, 40), found("a dog", 42, 60)]);
    assert_eq!(told(&records), [(Phase::Started, 0, 4.0, 8.0), (Phase::Started, 0, 8.4, 12.0)]);
    assert_eq!(stream.window(&[found("a dog", 10, 30), found("a dog", 32, 50)]), []);
    assert_eq!(stream.tracker.open(), 2);
}

#[test]
fn two_questions_that_find_one_event_make_one_event() {
    let mut stream = Stream::new(2);
    let records = stream.window(&[found("A dog", 20, 40), scored(0.9, found("dog", 22, 45))]);
    assert_eq!(told(&records), [(Phase::Started, 0, 4.0, 9.0)]);
    assert_eq!((records[0].score, records[0].text.as_str()), (0.9, "From 22 to 45, dog."));
}

#[test]
fn a_short_pause_between_windows_is_bridged_and_a_long_one_is_not() {
    let mut stream = Stream::new(2);
    stream.window(&[found("a dog", 20, 40)]);
    // 8.6 s to 12 s, after 4 s to 8 s.
    assert_eq!(told(&stream.window(&[found("a dog", 33, 50)])), [(Phase::Updated, 1, 4.0, 12.0)]);
    let mut stream = Stream::new(2);
    stream.window(&[found("a dog", 20, 40)]);
    assert_eq!(told(&stream.window(&[found("a dog", 40, 50)])), [(Phase::Started, 0, 10.0, 12.0)]);
    assert_eq!(stream.tracker.open(), 2);
}

#[test]
fn events_that_grow_into_each_other_become_the_earlier_one() {
    let mut stream = Stream::new(2);
    let started = stream.window(&[found("a dog", 20, 30), found("a dog", 50, 60)]);
    assert_eq!(started.len(), 2);
    stream.window(&[found("a dog", 10, 50)]);
    let records = stream.window(&[found("a dog", 0, 40)]);
    assert_eq!(told(&records), [(Phase::Ended, 1, 10.0, 12.0), (Phase::Updated, 2, 4.0, 12.0)]);
    assert_eq!(records[0].event_id, started[1].event_id);
    assert_eq!(stream.tracker.open(), 1);
}

#[test]
fn other_labels_are_other_events() {
    let mut stream = Stream::new(2);
    let records = stream.window(&[found("a dog", 20, 40), found("a cat", 20, 40)]);
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].event_id, records[1].event_id);
}

#[test]
fn what_returns_after_its_end_is_a_new_event() {
    let mut stream = Stream::new(10);
    let first = stream.window(&[found("a dog", 10, 30)]);
    assert_eq!(told(&first), [(Phase::Started, 0, 2.0, 6.0), (Phase::Ended, 1, 2.0, 6.0)]);
    let second = stream.window(&[found("a dog", 10, 30)]);
    assert_eq!(told(&second), [(Phase::Started, 0, 12.0, 16.0), (Phase::Ended, 1, 12.0, 16.0)]);
    assert_ne!(first[0].event_id, second[0].event_id);
}

#[test]
fn an_event_outlives_shed_windows_while_others_see_it() {
    let mut stream = Stream::new(2);
    stream.window(&[found("a siren", 50, 99)]);
    assert_eq!(stream.blind(3), []);
    assert_eq!(told(&stream.window(&[found("a siren", 10, 99)])), [(Phase::Updated, 1, 10.0, 28.0)]);
}

#[test]
fn an_event_ends_where_it_was_last_seen_when_nobody_looks_any_more() {
    let mut stream = Stream::new(2);
    stream.window(&[found("a siren", 50, 99)]);
    assert_eq!(stream.blind(9), [], "the window that starts at 20 s could still see it to go on");
    assert_eq!(told(&stream.blind(1)), [(Phase::Ended, 1, 10.0, 20.0)]);
    assert_eq!(stream.tracker.open(), 0);
}

#[test]
fn a_long_outage_ends_everything_at_once() {
    let mut stream = Stream::new(2);
    stream.window(&[found("a siren", 50, 99), found("a dog", 10, 20)]);
    assert_eq!(stream.blind(1800).iter().filter(|record| record.phase == Phase::Ended).count(), 2);
    assert_eq!(told(&stream.window(&[found("a siren", 50, 99)]))[0].0, Phase::Started);
}

#[test]
fn everything_ends_with_the_stream_and_not_after_it() {
    let mut stream = Stream::new(10);
    stream.window(&[found("a siren", 50, 99), found("a dog", 80, 90)]);
    let records = stream.tracker.finish(StreamTime(17 * SECOND));
    assert_eq!(told(&records), [(Phase::Ended, 1, 10.0, 17.0), (Phase::Ended, 1, 16.0, 17.0)]);
    assert_eq!(stream.tracker.finish(StreamTime(17 * SECOND)), []);
}

#[test]
fn a_flicker_is_not_published() {
    let mut stream = Stream::with(2, |config| config.min_windows = 2);
    assert_eq!(stream.window(&[found("a dog", 50, 70)]), []);
    assert_eq!(told(&stream.window(&[found("a dog", 40, 60)])), [(Phase::Started, 0, 10.0, 14.0)]);
    // Seen once only: never started, so never ended.
    assert_eq!(stream.window(&[found("a cat", 40, 60)]), []);
    let later: Vec<_> = (0..20).flat_map(|_| stream.window(&[])).collect();
    assert_eq!(told(&later), [(Phase::Ended, 1, 10.0, 14.0)]);
}

#[test]
fn a_published_event_takes_an_unpublished_one_over() {
    let mut stream = Stream::with(2, |config| config.min_windows = 2);
    stream.window(&[found("a dog", 50, 60)]);
    let records = stream.window(&[found("a dog", 40, 50), found("a dog", 55, 60)]);
    assert_eq!(told(&records), [(Phase::Started, 0, 10.0, 12.0)], "13 s to 14 s was seen once");
    assert_eq!(stream.window(&[found("a dog", 30, 50)]), [], "two of three windows end it at 12 s");
    assert_eq!(told(&stream.window(&[found("a dog", 20, 40)])), [(Phase::Updated, 1, 10.0, 14.0)]);
}

#[test]
fn weak_localizations_count_for_nothing_and_are_counted() {
    let mut stream = Stream::with(2, |config| config.min_score = 0.5);
    assert_eq!(stream.window(&[scored(0.49, found("a dog", 50, 70))]), []);
    assert_eq!(stream.tracker.weak(), 1);
    assert_eq!(stream.window(&[scored(0.5, found("a dog", 50, 70))]).len(), 1);
}

#[test]
fn answers_to_queries_have_a_least_score_of_their_own() {
    let mut stream = Stream::with(2, |config| config.min_query_score = 0.9);
    let asked = Localization { queried: true, ..found("a dog", 50, 70) };
    assert_eq!(stream.window(std::slice::from_ref(&asked)), []);
    assert_eq!(stream.tracker.weak(), 1);
    assert_eq!(stream.window(&[scored(0.9, asked)]).len(), 1);
    assert_eq!(stream.window(&[found("a cat", 50, 70)]).len(), 1);
}

#[test]
fn a_window_that_comes_late_changes_nothing() {
    let mut stream = Stream::new(10);
    stream.window(&[]);
    stream.window(&[found("a dog", 50, 99)]);
    let late = Seen { window: facts(0, 10), localizations: vec![found("a dog", 0, 50)] };
    assert_eq!(stream.tracker.observe(&late), []);
    assert_eq!(stream.tracker.blind(StreamTime(0), StreamTime(20 * SECOND)), []);
    assert_eq!(stream.tracker.open(), 1);
}

#[test]
fn runs_of_a_live_stream_have_ids_of_their_own() {
    let id = |run| {
        Stream::with(20, |config| config.run = run).window(&[found("a dog", 20, 50)])[0].event_id.clone()
    };
    assert_eq!(id(Run::default()), id(Run::default()));
    let live = |second| Run::Once { began: UtcTime(second * SECOND) };
    assert_ne!(id(live(1)), id(live(2)));
}

#[test]
fn capture_time_of_the_start_is_that_of_the_window_that_saw_it() {
    let mut stream = Stream::new(10);
    stream.window(&[found("a siren", 60, 99)]);
    // After an outage stream time maps to a capture time one hour later.
    let anchor = ClockAnchor { stream: StreamTime(20 * SECOND), utc: UtcTime((1_800_003_600 + 20) * SECOND) };
    let window = WindowFacts { anchor, ..facts(1, 10) };
    let records = stream.tracker.observe(&Seen { window, localizations: vec![found("a siren", 10, 80)] });
    assert_eq!(records[0].start.utc, "2027-01-15T08:00:12.000Z");
    assert_eq!(records[0].end.utc, "2027-01-15T09:00:26.000Z");
}

#[test]
fn a_label_may_want_to_be_surer_than_others() {
    let config = TrackConfig {
        min_score: 0.3,
        min_query_score: 0.5,
        min_label_scores: Arc::new([("siren".to_owned(), 0.8), ("rain".to_owned(), 0.1)].into()),
        ..TrackConfig::new(Duration::from_secs(20), Duration::from_secs(10))
    };
    let least = |label: &str, queried: bool| {
        config.least(&Localization { label: label.to_owned(), queried, ..found(label, 0, 9) })
    };
    assert_eq!((least("a dog", false), least("a dog", true)), (0.3, 0.5));
    assert_eq!((least("A siren.", false), least("a siren", true)), (0.8, 0.8));
    assert_eq!(least("rain", true), 0.1, "or less sure");
}
