//! What holds for every stream, however its windows contradict each other.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One window: what was found in it, or nothing when nobody looked.
type Step = Option<Vec<Localization>>;

fn localization() -> impl Strategy<Value = Localization> {
    let label = prop::sample::select(vec!["a dog", "Dog", "a cat"]);
    let modality = prop::sample::select(vec![None, Some(Modality::Audio), Some(Modality::Visual)]);
    (label, 0u8..100, 0u8..100, 0.0f64..=1.0, modality).prop_map(|(label, one, other, score, modality)| {
        Localization { modality, ..scored(score, found(label, one.min(other), one.max(other))) }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => proptest::collection::vec(localization(), 0..5).prop_map(Some),
        1 => Just(None),
    ];
    proptest::collection::vec(step, 1..40)
}

fn config() -> impl Strategy<Value = (u64, TrackConfig)> {
    let hop = prop::sample::select(vec![1u64, 2, 5, 10, 20]);
    (hop, 0u64..5000, 0u64..1000, 1u32..4, prop::sample::select(vec![0.0, 0.5])).prop_map(
        |(hop, gap, tolerance, min_windows, min_score)| {
            let config = TrackConfig {
                merge_gap: Duration::from_millis(gap),
                tolerance: Duration::from_millis(tolerance),
                min_windows,
                min_score,
                ..TrackConfig::new(Duration::from_secs(20), Duration::from_secs(hop))
            };
            (hop, config)
        },
    )
}

/// The records of each window, and of the end of the stream.
fn run(hop: u64, config: TrackConfig, steps: &[Step]) -> Vec<Vec<EventRecord>> {
    let mut stream = Stream { tracker: Tracker::new("gate".into(), config), hop, next: 0 };
    let mut records: Vec<Vec<EventRecord>> = Vec::new();
    for step in steps {
        records.push(match step {
            Some(found) => stream.window(found),
            None => stream.blind(1),
        });
    }
    let end = facts(stream.next - 1, hop).end;
    records.push(stream.tracker.finish(end));
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_event_lives_by_the_rules((hop, config) in config(), steps in steps()) {
        let mut open: BTreeMap<String, EventRecord> = BTreeMap::new();
        let mut over = std::collections::BTreeSet::new();
        for records in run(hop, config, &steps) {
            for record in records {
                let id = record.event_id.clone();
                prop_assert!(!over.contains(&id), "{} follows its end", id);
                prop_assert!(record.start.stream <= record.end.stream, "{:?}", record);
                prop_assert!((0.0..=1.0).contains(&record.score));
                match (record.phase, open.remove(&id)) {
                    (Phase::Started, None) => prop_assert_eq!(record.revision, 0),
                    (Phase::Updated | Phase::Ended, Some(before)) => {
                        prop_assert_eq!(record.revision, before.revision + 1);
                        prop_assert_eq!(&record.label, &before.label);
                    }
                    (phase, before) => prop_assert!(false, "{:?} after {:?}", phase, before),
                }
                if record.phase == Phase::Ended {
                    over.insert(id);
                } else {
                    open.insert(id, record);
                }
            }
        }
        prop_assert!(open.is_empty(), "never ended: {:?}", open);
    }

    #[test]
    fn open_events_of_one_label_do_not_overlap((hop, config) in config(), steps in steps()) {
        let gap = config.merge_gap;
        let mut stream = Stream { tracker: Tracker::new("gate".into(), config), hop, next: 0 };
        for step in &steps {
            match step {
                Some(found) => drop(stream.window(found)),
                None => drop(stream.blind(1)),
            }
            for events in stream.tracker.events.values() {
                for pair in events.windows(2) {
                    prop_assert!(pair[0].end_time() < pair[1].start_time(), "{:?}", pair);
                }
            }
            let next = stream.tracker.watermark.expect("a window was settled");
            for event in stream.tracker.events.values().flatten() {
                prop_assert!(event.end_time().plus(gap) >= next, "{:?} is over", event);
            }
        }
    }

    #[test]
    fn a_replay_tells_the_same((hop, config) in config(), steps in steps()) {
        prop_assert_eq!(run(hop, config.clone(), &steps), run(hop, config, &steps));
    }

    /// A truth that every window sees as well as slots can say it is one event with its true times.
    #[test]
    fn what_windows_agree_on_is_one_event(
        hop in prop::sample::select(vec![1u64, 2, 4, 10]),
        start in 0u64..60_000,
        length in 1_000u64..60_000,
    ) {
        let (start, end) = (start as f64 / 1e3, (start + length) as f64 / 1e3);
        let steps: Vec<Step> = (0..120 / hop).map(|index| {
            let from = (index * hop) as f64;
            let inside = end > from && start < from + 20.0;
            let slot = |time: f64| Slot::of(time - from, 20.0).get();
            Some(if inside { vec![found("a dog", slot(start), slot(end))] } else { Vec::new() })
        }).collect();
        let config = TrackConfig::new(Duration::from_secs(20), Duration::from_secs(hop));
        let records = run(hop, config, &steps).concat();
        let ended: Vec<&EventRecord> = records.iter().filter(|record| record.phase == Phase::Ended).collect();
        prop_assert_eq!(ended.len(), 1, "{:?}", records);
        // A slot is 0.2 s; the last one of a window stands for its end, which may be 0.3 s later.
        prop_assert!((ended[0].start.stream - start).abs() <= 0.31, "{:?}", ended[0]);
        prop_assert!((ended[0].end.stream - end).abs() <= 0.31, "{:?}", ended[0]);
    }
}
