//! A recording whose runs are stopped anywhere: what a consumer is told, once it has dropped what it has seen.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::left_open;
use super::super::publisher::Parcel;
use super::super::recorder::Recorder;
use super::super::settled::{Fate, Settled};
use super::*;
use crate::outbox::{Begun, Message, Outbox, OutboxConfig, Topic};
use crate::record::{Latency, Run};
use crate::stream::{Presence, WindowId};
use crate::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};
use crate::track::WindowFacts;

/// Of windows 20 s long.
const HOP: Duration = Duration::from_secs(5);
const LENGTH: Duration = Duration::from_secs(20);

/// How a run goes.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// To the end of the recording.
    Whole,
    /// Told to stop after so many windows.
    Stopped(usize),
    /// Killed after so many windows.
    Killed(usize),
    /// Killed when its last records were stored, before its file was closed.
    KilledAtTheEnd,
}

/// What the model says of a window; nothing when there was nothing in it.
type Said = Option<Vec<(&'static str, u8, u8)>>;

fn said() -> impl Strategy<Value = Said> {
    let label = prop::sample::select(vec!["a dog", "a cat", "rain"]);
    let found =
        (label, 0u8..100, 0u8..100).prop_map(|(label, one, other)| (label, one.min(other), one.max(other)));
    prop_oneof![
        6 => proptest::collection::vec(found, 0..4).prop_map(Some),
        1 => Just(None),
    ]
}

fn course() -> impl Strategy<Value = Course> {
    prop_oneof![
        2 => Just(Course::Whole),
        3 => (0usize..12).prop_map(Course::Stopped),
        3 => (0usize..12).prop_map(Course::Killed),
        1 => Just(Course::KilledAtTheEnd),
    ]
}

fn window(index: usize) -> WindowFacts {
    let start = StreamTime::ZERO.plus(HOP * u32::try_from(index).expect("few windows"));
    let end = start.plus(LENGTH);
    WindowFacts {
        id: WindowId { stream: "gate".into(), index: index as u64 },
        start,
        end,
        anchor: ClockAnchor { stream: StreamTime::ZERO, utc: UtcTime(1_800_000_000_000_000_000) },
        clock: ClockQuality::Pts,
        av_offset_ms: None,
        audio: Presence::Present,
        visual: Presence::Present,
        held: std::iter::once(start..end).collect(),
        latency: Latency::default(),
        model: "fake".into(),
    }
}

fn fate(said: &Said) -> Fate {
    let Some(found) = said else { return Fate::Blind { windows: 1, reason: "black".into() } };
    let text: Vec<String> =
        found.iter().map(|(label, start, end)| format!("From {start:02} to {end:02}, {label}.")).collect();
    let text = if text.is_empty() { "Nothing happens.".to_owned() } else { text.join(" ") };
    Fate::Answered(says(&text).expect("an answer"))
}

fn recorder() -> Recorder {
    let facts = facts();
    let asked = [Asking { asked: Asked::Detect, text: "What happens?".to_owned() }];
    let track = TrackConfig::new(LENGTH, HOP);
    Recorder::new("gate".into(), (facts.inquire)(&asked), facts.reader.clone(), track, false)
}

/// One run of the recording, as the daemon makes it: every window's records are stored together.
fn go(outbox: &Outbox, recording: &[Said], course: Course) -> Run {
    let store = |parcel: Parcel| {
        let messages: Vec<Message> = parcel.messages().collect();
        let appended = outbox.append_last(&messages, parcel.whole.into_iter().collect()).expect("stored");
        assert_eq!(appended.dropped, 0);
    };
    store(Parcel { records: left_open::ends(outbox).expect("readable"), ..Parcel::default() });
    let Begun { interruptions, told: repeats } = outbox.begin("gate").blocking_recv().expect("written down");
    let (mut recorder, run) = (recorder(), Run::Replay { interruptions });
    recorder.begin(run, repeats);
    let windows = match course {
        Course::Stopped(windows) | Course::Killed(windows) => windows.min(recording.len()),
        Course::Whole | Course::KilledAtTheEnd => recording.len(),
    };
    for (index, said) in recording[..windows].iter().enumerate() {
        let facts = window(index);
        let settled = Settled { until: facts.end, facts, missing: None, fate: fate(said) };
        store(Parcel { records: recorder.settle(settled).0, repeats, ..Parcel::default() });
    }
    let end = windows.checked_sub(1).map_or(StreamTime::ZERO, |last| window(last).end);
    match course {
        Course::Killed(_) => return run,
        Course::Stopped(_) => recorder.disturb(),
        Course::Whole | Course::KilledAtTheEnd => {}
    }
    let records = recorder.finish(end);
    store(Parcel { records, repeats, whole: recorder.whole(), ..Parcel::default() });
    run
}

/// An outbox that survives its runs.
struct Kept {
    folder: TempDir,
    config: OutboxConfig,
    killed: usize,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = OutboxConfig { path: folder.path().join("outbox.redb"), ..OutboxConfig::default() };
        Self { folder, config, killed: 0 }
    }

    /// One more run; returns which it was, and what it stored.
    fn run(&mut self, recording: &[Said], course: Course) -> (Run, Vec<Message>) {
        let outbox = Outbox::open(&self.config).expect("opens");
        let before = told(&outbox).len();
        let run = go(&outbox, recording, course);
        let new = told(&outbox).split_off(before);
        if let Course::Killed(_) | Course::KilledAtTheEnd = course {
            // What a killed process leaves is the file as it is now, never closed.
            self.killed += 1;
            let copy = self.folder.path().join(format!("killed-{}.redb", self.killed));
            std::fs::copy(&self.config.path, &copy).expect("copied");
            self.config.path = copy;
        }
        (run, new)
    }
}

/// Everything ever stored, in order.
fn told(outbox: &Outbox) -> Vec<Message> {
    let read = |topic| outbox.read(topic, 0, usize::MAX, u64::MAX).expect("readable");
    let mut all: Vec<(u64, Message)> = Topic::ALL.into_iter().flat_map(read).collect();
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, message)| message).collect()
}

/// The messages by what a consumer knows them by; those with one id say the same.
fn known(messages: &[Message]) -> Result<Vec<&Message>, TestCaseError> {
    let mut first: BTreeMap<&str, &Message> = BTreeMap::new();
    let mut known = Vec::new();
    for message in messages {
        match first.get(message.ce_id.as_str()) {
            Some(before) => prop_assert_eq!(*before, message, "one id, two contents"),
            None => {
                first.insert(&message.ce_id, message);
                known.push(message);
            }
        }
    }
    Ok(known)
}

/// Every event is started once, ended once, and its revisions rise by one.
fn check_lives(known: &[&Message]) -> Result<(), TestCaseError> {
    let mut lives: BTreeMap<String, Vec<(u32, Phase)>> = BTreeMap::new();
    for message in known.iter().filter(|message| message.topic == Topic::Events) {
        let event: EventRecord = serde_json::from_slice(&message.payload).expect("an event");
        lives.entry(event.event_id).or_default().push((event.revision, event.phase));
    }
    for life in lives.values() {
        let count = life.len();
        for (index, (revision, phase)) in life.iter().enumerate() {
            prop_assert_eq!(*revision as usize, index, "{:?}", life);
            prop_assert_eq!(*phase == Phase::Started, index == 0, "{:?}", life);
            prop_assert_eq!(*phase == Phase::Ended, index == count - 1, "{:?}", life);
        }
    }
    Ok(())
}

/// The spans of one run touch each other from the beginning; returns where they end.
fn check_tiles(known: &[&Message], run: Run) -> Result<f64, TestCaseError> {
    let prefix = run.word().map_or("gate/".to_owned(), |word| format!("gate/{word}/"));
    let of_run = known
        .iter()
        .filter(|message| message.topic == Topic::Coverage)
        .filter(|message| message.ce_id.strip_prefix(&prefix).is_some_and(|start| !start.contains('/')));
    let mut at = 0.0;
    for message in of_run {
        let span: CoverageRecord = serde_json::from_slice(&message.payload).expect("a span");
        prop_assert_eq!(span.start.stream, at, "a hole or an overlap in {:?}", run);
        at = span.end.stream;
    }
    Ok(at)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_recording_that_is_stopped_anywhere_is_told_once(
        recording in proptest::collection::vec(said(), 1..12),
        courses in proptest::collection::vec(course(), 0..5),
    ) {
        let (mut kept, mut runs, mut told) = (Kept::new(), Vec::new(), Vec::new());
        let undisturbed = [Course::Whole, Course::Whole];
        for course in courses.into_iter().chain(undisturbed) {
            let (run, new) = kept.run(&recording, course);
            runs.push((run, new.clone()));
            told.extend(new);
        }
        let known = known(&told)?;
        check_lives(&known)?;
        let end = window(recording.len() - 1).end.as_secs_f64();
        for (run, _) in &runs {
            let reached = check_tiles(&known, *run)?;
            prop_assert!(reached <= end);
        }
        let [.., (_, before), (last, repeated)] = &runs[..] else { panic!("two runs at least") };
        prop_assert_eq!(check_tiles(&known, *last)?, end);
        // What an undisturbed run tells, it tells again; the first of an outbox begins with the plain ids.
        let of_run = |messages: &[Message]| messages[messages.len() - repeated.len()..].to_vec();
        prop_assert_eq!(&of_run(before), repeated);
        prop_assert_eq!(Kept::new().run(&recording, Course::Whole), Kept::new().run(&recording, Course::Whole));
    }
}

#[test]
fn only_an_interruption_before_all_was_told_makes_new_ids() {
    let recording = vec![Some(vec![("a dog", 10, 99)]), Some(vec![("a dog", 0, 50)]), Some(Vec::new())];
    let runs = |courses: &[Course]| -> Vec<u64> {
        let mut kept = Kept::new();
        let run = |course: &Course| match kept.run(&recording, *course).0 {
            Run::Replay { interruptions } => interruptions,
            once @ Run::Once { .. } => panic!("it is remembered: {once:?}"),
        };
        courses.iter().map(run).collect()
    };
    let interrupted = [Course::Stopped(1), Course::Killed(2), Course::Killed(0), Course::KilledAtTheEnd];
    assert_eq!(runs(&interrupted), [0, 1, 2, 3]);
    let told = [Course::Killed(1), Course::Whole, Course::Stopped(1), Course::Killed(2), Course::Whole];
    assert_eq!(runs(&told), [0, 1, 1, 1, 1]);
}
