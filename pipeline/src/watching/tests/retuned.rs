//! A stream that goes on with other settings while it is watched.

use std::sync::Mutex;

use tokio::sync::oneshot;

use super::super::engine::{Command, Orders};
use super::super::stream::Retune;
use super::*;
use crate::record::{StreamPhase, WindowFate, WindowRecord};

/// What a film told, and what was asked of it.
struct Film {
    records: Vec<Record>,
    windows: Vec<WindowRecord>,
    /// How often it was told that it is watched.
    watching: usize,
    /// The questions of each window, in order.
    asked: Vec<Vec<String>>,
    /// Whether the stream went on.
    went_on: bool,
}

/// Watches a film of 30 s by `first`, and by `next` as soon as its fourth window is with the model.
async fn changed(first: Plan, next: Plan) -> Film {
    let (commands, obeyed) = mpsc::channel(4);
    let (publisher, mut published) = Publisher::channel(None);
    let (asked, (fourth, mut is_fourth)) = (Arc::new(Mutex::new(Vec::new())), mpsc::unbounded_channel());
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let seen = asked.clone();
    let answer = move |windows: &[WindowInput]| {
        let mut results = Vec::new();
        for window in windows {
            let questions: Vec<String> =
                window.questions.iter().map(|question| question.text.clone()).collect();
            let mut seen = seen.lock().expect("nobody panicked");
            seen.push(questions);
            if seen.len() == 4 {
                fourth.send(()).expect("the test listens");
                may_go_on.recv().expect("it is told to go on");
            }
            let mut answer = says("From 00 to 99, a ball, seen.").expect("an answer");
            for question in &window.questions[1..] {
                let label = question.text.trim_start_matches("When is there ").trim_end_matches('?');
                let grounded = says(&format!("From 00 to 99, {label}, seen.")).expect("an answer");
                answer.answers.extend(grounded.answers);
            }
            results.push(Ok(answer));
        }
        results
    };
    let stream = first.stream.clone();
    let orders = Orders { plans: vec![first], commands: obeyed, clips: None, spread: false };
    let control = Arc::new(Control::new());
    let mut engine =
        Engine::start(orders, (facts(), answer), one_at_a_time(), control.clone(), publisher, None);
    let change = async {
        is_fourth.recv().await.expect("four windows");
        let (over, went_on) = oneshot::channel();
        let command = Command::Retune(Retune { plan: Box::new(next), over });
        commands.send(command).await.expect("the engine obeys");
        // The stream waits for the model, and hears of the change when that goes on.
        go_on.send(()).expect("the model waits");
        went_on.await.unwrap_or(false)
    };
    let supervise = async {
        engine.all_ended().await;
        engine.stop(Duration::ZERO).await
    };
    let collect = async {
        let (mut records, mut windows, mut watching) = (Vec::new(), Vec::new(), 0);
        while let Some(parcel) = published.recv().await {
            records.extend(parcel.records);
            windows.extend(parcel.windows);
            watching += parcel.streams.iter().filter(|state| state.state == StreamPhase::Watching).count();
        }
        (records, windows, watching)
    };
    let all = async { tokio::join!(change, supervise, collect) };
    let (went_on, ended, (records, windows, watching)) =
        tokio::time::timeout(HANG, all).await.expect("the engine hangs");
    assert_eq!(ended, [Ended { stream: stream.clone(), end: End::OfFile }]);
    assert_eq!(control.status.streams.status(stream.as_str()).map(|status| status.reconnects), Some(0));
    let asked = asked.lock().expect("nobody panicked").clone();
    Film { records, windows, watching, asked, went_on }
}

fn film() -> Plan {
    plan("a", 30, false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_questions_are_asked_from_one_window_to_the_next() {
    let cat = Asking { asked: Asked::Ground { label: "a cat".into() }, text: "When is there a cat?".into() };
    let mut next = film();
    next.questions.push(cat);
    let Film { records, windows, watching, asked, went_on } = changed(film(), next).await;
    assert!(went_on);
    assert_eq!(watching, 1, "it was connected once");

    // No window is lost, and each is read as it was asked about.
    let spans = coverage(&records, "a");
    assert!(spans.iter().all(|span| span.watched), "{spans:?}");
    assert!((spans.last().expect("coverage").end.stream - 30.0).abs() < 0.3);
    assert!(windows.iter().all(|window| window.fate == WindowFate::Answered), "{windows:?}");
    let (before, after): (Vec<_>, Vec<_>) = asked.iter().partition(|questions| questions.len() == 1);
    assert!(before.len() >= 4 && after.len() >= 4, "{asked:?}");
    assert!(asked.is_sorted_by_key(Vec::len), "once and for all: {asked:?}");
    let answers: Vec<usize> = windows.iter().map(|window| window.answers.len()).collect();
    assert_eq!(answers, asked.iter().map(Vec::len).collect::<Vec<_>>());

    // What was open stayed open.
    let balls: Vec<_> = events(&records, "a").into_iter().filter(|event| event.label == "a ball").collect();
    assert_eq!(balls.iter().filter(|event| event.phase == Phase::Started).count(), 1, "{balls:?}");
    assert!(
        balls.last().is_some_and(|event| event.start.stream == 0.0 && event.end.stream > 29.0),
        "{balls:?}"
    );
    assert!(events(&records, "a").iter().any(|event| event.label == "a cat"), "it is asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_threshold_counts_from_one_window_to_the_next() {
    let mut next = film();
    // What it says is certain, and this more than that.
    next.track.min_score = 1.1;
    let Film { records, windows, went_on, .. } = changed(film(), next).await;
    assert!(went_on);
    let least: Vec<f64> =
        windows.iter().flat_map(|window| &window.answers).map(|answer| answer.found[0].least).collect();
    assert!(least.contains(&0.0) && least.contains(&1.1) && least.is_sorted(), "{least:?}");
    assert_eq!(ends(&records, "a"), [1, 1]);
    let last = events(&records, "a").pop().expect("an event");
    assert!(last.end.stream > 5.0 && last.end.stream < 25.0, "it ends where it was sure last: {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sense_is_turned_off_without_another_connection() {
    let mut next = film();
    next.source.sample_rate = 0;
    let Film { windows, watching, went_on, .. } = changed(film(), next).await;
    assert!(went_on && watching == 1);
    let heard: Vec<bool> =
        windows.iter().map(|window| window.audio != crate::stream::Presence::Missing).collect();
    assert!(heard[0] && !heard[heard.len() - 1], "{heard:?}");
    let reason = windows.last().and_then(|window| window.reason.as_deref());
    assert!(reason.is_some_and(|reason| reason.contains("audio is turned off")), "{reason:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_another_connection_is_refused_and_changes_nothing() {
    let mut next = film();
    next.source.uri = "test://?duration=5".into();
    next.track.min_score = 1.1;
    let Film { records, windows, went_on, .. } = changed(film(), next).await;
    assert!(!went_on);
    assert!(windows.iter().flat_map(|window| &window.answers).all(|answer| answer.found[0].least == 0.0));
    assert!((coverage(&records, "a").last().expect("coverage").end.stream - 30.0).abs() < 0.3);
}

#[test]
fn what_needs_no_other_connection_and_no_other_windows_goes_on() {
    let first = film();
    let goes_on = |change: fn(&mut Plan)| {
        let mut next = film();
        change(&mut next);
        first.goes_on_as(&next)
    };
    assert!(goes_on(|_| ()));
    assert!(goes_on(|plan| plan.questions.clear()));
    assert!(goes_on(|plan| plan.track.min_windows = 3));
    assert!(goes_on(|plan| plan.recall = Duration::ZERO));
    assert!(goes_on(|plan| plan.source.grid = None));
    assert!(goes_on(|plan| plan.source.sample_rate = 0));
    assert!(!goes_on(|plan| plan.source.sample_rate = 8000));
    assert!(!goes_on(|plan| plan.source.uri.push_str("&fps=6")));
    assert!(!goes_on(|plan| plan.source.stall_timeout = Duration::ZERO));
    assert!(!goes_on(|plan| plan.windows.hop = Duration::from_secs(1)));
    assert!(!goes_on(|plan| plan.live = true));
    // A source that was connected without sound has none to turn on.
    let mut deaf = film();
    deaf.source.sample_rate = 0;
    assert!(!deaf.goes_on_as(&first));
}
