//! The engine with real sources and a model that does what a test wants.

mod handed_over;
mod interrupted;
mod retuned;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use avicuna_models::answer::{Answer, AnswerToken, Finish};
use avicuna_models::localizer::{LocalizerError, Timing, WindowAnswer, WindowInput};
use avicuna_models::wording::Meaning;

use super::engine::{Ended, Engine};
use super::model::Answered;
use super::plan::{ModelFacts, Plan};
use super::publisher::Publisher;
use super::recall::Recall;
use super::record::Record;
use super::stream::{Shared, Stream};
use crate::answer::{Asked, Asking, Phrases, Reader};
use crate::control::Control;
use crate::record::{CoverageRecord, ErrorRecord, EventRecord, Phase};
use crate::schedule::{Job, ScheduleConfig, Scheduler, Shed, Work};
use crate::source::failure::{Failure, Kind};
use crate::source::{self, End, SourceConfig};
use crate::timeline::UtcTime;
use crate::track::TrackConfig;
use crate::window::WindowSpec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Only a hang waits so long.
const HANG: Duration = Duration::from_secs(120);

/// Windows of 4 s every 2 s, on a generated source of `seconds`.
fn plan(id: &str, seconds: u32, live: bool) -> Plan {
    let windows = WindowSpec {
        length: Duration::from_secs(4),
        hop: Duration::from_secs(2),
        visual_slots: 4,
        audio_slots: 4,
        sample_rate: 16_000,
        clip: Duration::from_secs(1),
        patience: Duration::from_millis(500),
    };
    let source = SourceConfig {
        live,
        grid: windows.visual_grid(),
        frame_size: 32,
        sample_rate: 16_000,
        stall_timeout: Duration::from_secs(60),
        ..SourceConfig::new(id, format!("test://?width=64&height=64&fps=5&rate=16000&duration={seconds}"))
    };
    Plan {
        stream: id.into(),
        live,
        source,
        still: 0,
        unchanged: 0.0,
        apart: None,
        clips: None,
        questions: vec![Asking { asked: Asked::Detect, text: "What happens?".to_owned() }],
        track: TrackConfig::new(windows.length, windows.hop),
        windows,
        recall: Duration::from_secs(60),
        shift: None,
    }
}

fn facts() -> ModelFacts {
    let phrases = Phrases { nothing: "Nothing happens.".into(), absent: "It does not happen.".into() };
    let reader = Arc::new(Reader::of_words(phrases));
    let own = reader.clone();
    ModelFacts {
        name: "fake".into(),
        reader,
        inquire: Arc::new(move |asking| {
            asking.iter().map(|asking| own.inquire(asking, Meaning::default())).collect()
        }),
        ask: Arc::new(|question| Asking {
            asked: Asked::Ground { label: question.to_owned() },
            text: question.to_owned(),
        }),
        look_ahead: Arc::new(|_| (0, 0)),
        max_new_tokens: 9,
        least: [0.2, 0.2],
    }
}

async fn next_windows(scheduler: &Scheduler) -> Option<Vec<Job>> {
    match scheduler.next().await? {
        Work::Windows(jobs) => Some(jobs),
        Work::Ahead(_) => panic!("nothing is there of any window"),
    }
}

/// An answer whose every word is certain.
fn says(text: &str) -> Result<WindowAnswer, LocalizerError> {
    let tokens = vec![AnswerToken { id: 0, logprob: 0.0, bytes: 0..text.len() }];
    let answer = Answer { text: text.to_owned(), tokens, finish: Finish::Stop };
    Ok(WindowAnswer { answers: vec![answer], evidence: None, unchanged: false, timing: Timing::default() })
}

fn one_at_a_time() -> ScheduleConfig {
    ScheduleConfig {
        max_batch: 1,
        linger: Duration::ZERO,
        queue_per_stream: 1,
        shed: Shed::Oldest,
        question_every: Duration::from_secs(5),
        ahead: true,
    }
}

/// Everything that was published and how the streams ended. `stop` says when they are told to.
async fn run(
    plans: Vec<Plan>,
    answer: impl Fn(&[WindowInput]) -> Vec<Result<WindowAnswer, LocalizerError>> + Send + 'static,
) -> (Vec<Record>, Vec<Ended>) {
    let (publisher, mut published) = Publisher::channel(None);
    let control = Arc::new(Control::new());
    let mut engine = Engine::start(plans, (facts(), answer), one_at_a_time(), control, publisher, None);
    let gone = engine.model_gone();
    let supervise = async {
        tokio::select! {
            () = engine.all_ended() => {}
            () = gone => {}
        }
        engine.stop(Duration::ZERO).await
    };
    let collect = async {
        let mut records = Vec::new();
        while let Some(parcel) = published.recv().await {
            records.extend(parcel.records);
        }
        records
    };
    let both = async { tokio::join!(collect, supervise) };
    tokio::time::timeout(HANG, both).await.expect("the engine hangs")
}

fn coverage<'a>(records: &'a [Record], stream: &str) -> Vec<&'a CoverageRecord> {
    let spans = records.iter().filter_map(|record| match record {
        Record::Coverage { record, .. } => Some(record),
        _ => None,
    });
    let spans: Vec<_> = spans.filter(|span| span.stream_id == stream).collect();
    let mut at = 0.0;
    for span in &spans {
        assert!((span.start.stream - at).abs() < 1e-9, "a hole or an overlap at {at}: {span:?}");
        at = span.end.stream;
    }
    spans
}

fn events<'a>(records: &'a [Record], stream: &str) -> Vec<&'a EventRecord> {
    let events = records.iter().filter_map(|record| match record {
        Record::Event(event) => Some(event),
        _ => None,
    });
    events.filter(|event| event.stream_id == stream).collect()
}

fn errors(records: &[Record]) -> Vec<&ErrorRecord> {
    let errors = records.iter().filter_map(|record| match record {
        Record::Error(error) => Some(error),
        _ => None,
    });
    errors.collect()
}

fn ends(records: &[Record], stream: &str) -> [usize; 2] {
    let count = |phase| events(records, stream).iter().filter(|event| event.phase == phase).count();
    [count(Phase::Started), count(Phase::Ended)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_over_many_windows_starts_and_ends_once() {
    let answer =
        |windows: &[WindowInput]| windows.iter().map(|_| says("From 00 to 99, a ball, seen.")).collect();
    let (records, outcomes) = run(vec![plan("a", 12, false)], answer).await;
    assert_eq!(outcomes, [Ended { stream: "a".into(), end: End::OfFile }]);
    let spans = coverage(&records, "a");
    assert!(spans.iter().all(|span| span.watched), "{spans:?}");
    assert!((spans.last().expect("coverage").end.stream - 12.0).abs() < 0.3);
    assert_eq!(ends(&records, "a"), [1, 1]);
    let last = events(&records, "a").pop().expect("an event");
    assert!(last.start.stream == 0.0 && last.end.stream > 11.5, "{last:?}");
    assert!(errors(&records).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_the_model_cannot_answer_and_one_that_makes_no_sense_are_reported() {
    let calls = AtomicUsize::new(0);
    let answer = move |_: &[WindowInput]| match calls.fetch_add(1, Ordering::Relaxed) {
        1 => vec![Err(LocalizerError::Window("too dark".into()))],
        3 => vec![says("Whatever.")],
        _ => vec![says("Nothing happens.")],
    };
    let (records, outcomes) = run(vec![plan("a", 12, false)], answer).await;
    assert!(!outcomes[0].end.is_trouble());
    let kinds: Vec<_> =
        errors(&records).iter().map(|error| (error.kind.name(), error.detail.as_deref())).collect();
    assert_eq!(kinds, [("llm", None), ("parse", Some("Whatever."))]);
    // Its neighbours have seen all of it.
    assert!(coverage(&records, "a").iter().all(|span| span.watched));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_waits_for_a_slow_model_and_a_live_stream_sheds() {
    let answer = |windows: &[WindowInput]| {
        std::thread::sleep(Duration::from_secs(3));
        windows.iter().map(|_| says("Nothing happens.")).collect()
    };
    let (records, _) = run(vec![plan("file", 10, false), plan("live", 24, true)], answer).await;
    assert!(coverage(&records, "file").iter().all(|span| span.watched));
    let live = coverage(&records, "live");
    assert!(live.last().is_some_and(|span| span.end.stream > 20.0));
    let shed = live.iter().filter_map(|span| span.reason.as_deref()).filter(|why| why.starts_with("shed: "));
    assert!(shed.count() > 0, "a window every 2 s, and a model that takes 3 s for one: {live:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_dies_leaves_no_event_open_and_no_hole() {
    let calls = AtomicUsize::new(0);
    let answer = move |windows: &[WindowInput]| {
        assert!(calls.fetch_add(1, Ordering::Relaxed) < 2, "the model dies");
        windows.iter().map(|_| says("From 00 to 99, a ball, seen.")).collect()
    };
    let (records, outcomes) = run(vec![plan("a", 3600, false)], answer).await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(ends(&records, "a"), [1, 1]);
    let spans = coverage(&records, "a");
    let lost = spans.iter().find(|span| !span.watched).expect("what it did not answer");
    assert!(lost.reason.as_deref().is_some_and(|reason| reason.starts_with("shed: ")), "{lost:?}");
}

/// As when its task panics: whatever it did last, it is told to come to an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_ends_its_events_and_leaves_no_hole() {
    let (publisher, mut published) = Publisher::channel(None);
    let scheduler = Scheduler::new(one_at_a_time());
    let shared = Shared {
        control: Arc::new(Control::new()),
        scheduler: scheduler.clone(),
        publisher,
        model: Arc::new(facts()),
        deadline: CancellationToken::new(),
        handover: CancellationToken::new(),
        heard: None,
        recall: Recall::default(),
        clips: None,
    };
    let plan = plan("a", 12, false);
    let (sender, heard) = mpsc::channel(64);
    let source = source::spawn(plan.source.clone(), sender, CancellationToken::new());
    let mut stream = Stream::new(plan, shared).expect("a valid plan");
    let (route, answers) = mpsc::unbounded_channel();
    let mut records = Vec::new();
    let answers_until_an_event_is_told = async {
        let first = next_windows(&scheduler).await.expect("a window");
        let index = first[0].window.id.index;
        let (worked, result) = (Instant::now()..Instant::now(), says("From 00 to 99, a ball, seen."));
        route.send(Answered { index, worked, result }).expect("it listens");
        // The stream may wait for room in the queue before it hears the answer: windows go on being taken meanwhile.
        let mut others = 0;
        while events(&records, "a").is_empty() {
            tokio::select! {
                parcel = published.recv() => records.extend(parcel.expect("it publishes").records),
                Some(_taken) = next_windows(&scheduler) => others += 1,
            }
        }
        // Another is with the model when it breaks.
        if others == 0 {
            let _taken = next_windows(&scheduler).await.expect("another window");
        }
    };
    let breaks = async {
        tokio::select! {
            reason = stream.run(heard, answers, mpsc::unbounded_channel().1) => panic!("it ended by itself: {reason}"),
            () = answers_until_an_event_is_told => {}
        }
    };
    tokio::time::timeout(HANG, breaks).await.expect("no window comes");
    stream.fail(&Failure::new(Kind::Internal, "it broke")).await;
    drop(stream);
    source.await.expect("the source ends with its reader");
    while let Some(parcel) = published.recv().await {
        records.extend(parcel.records);
    }
    assert_eq!(ends(&records, "a"), [1, 1]);
    let spans = coverage(&records, "a");
    assert!(spans[0].watched && spans.iter().any(|span| !span.watched), "{spans:?}");
    assert_eq!(errors(&records)[0].message, "internal: it broke");
}
