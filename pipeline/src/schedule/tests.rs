use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::time::{advance, timeout};

use super::*;
use crate::stream::{Presence, WindowId};
use crate::timeline::{ClockAnchor, ClockQuality, StreamTime, UtcTime};
use crate::window::Slots;

const LINGER: Duration = Duration::from_millis(100);
const EVERY: Duration = Duration::from_secs(2);
/// Only catches hangs.
const LONG: Duration = Duration::from_secs(3600);

fn config(max_batch: usize, queue_per_stream: usize, shed: Shed) -> ScheduleConfig {
    ScheduleConfig { max_batch, linger: LINGER, queue_per_stream, shed, question_every: EVERY, ahead: true }
}

fn nothing<I>() -> Slots<I> {
    Slots { slots: Vec::new(), presence: Presence::Missing, reason: None }
}

fn job(stream: &str, index: u64, live: bool) -> Job {
    let window = Window {
        id: WindowId { stream: StreamId::from(stream), index },
        start: StreamTime::ZERO,
        end: StreamTime::ZERO,
        until: StreamTime::ZERO,
        anchor: ClockAnchor { stream: StreamTime::ZERO, utc: UtcTime(0) },
        clock: ClockQuality::Pts,
        av_offset_ms: None,
        visual: nothing(),
        audio: nothing(),
        last_capture: UtcTime(0),
        closed: std::time::Instant::now(),
    };
    Job { window, questions: Vec::new(), last: None, live, behind: false }
}

async fn submit(scheduler: &Scheduler, stream: &str, index: u64, live: bool) -> Vec<String> {
    let submitted = timeout(LONG, scheduler.submit(job(stream, index, live))).await.expect("no wait");
    submitted.shed.iter().map(|window| window.id.to_string()).collect()
}

/// The next batch, where nothing is ahead.
async fn next_windows(scheduler: &Scheduler) -> Option<Vec<Job>> {
    match scheduler.next().await? {
        Work::Windows(jobs) => Some(jobs),
        Work::Ahead(_) => panic!("nothing is there of any window"),
    }
}

/// What is there of a window: so many frames.
fn there(frames: usize) -> Ahead {
    Ahead { visual: vec![None; frames], audio: Vec::new() }
}

/// What there is to do: a batch, or how many frames of a window are there.
async fn work(scheduler: &Scheduler) -> Result<Vec<String>, usize> {
    match timeout(LONG, scheduler.next()).await.expect("no hang").expect("not closed") {
        Work::Windows(jobs) => Ok(jobs.iter().map(|job| job.window.id.to_string()).collect()),
        Work::Ahead(ahead) => Err(ahead.visual.len()),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_there_of_windows_waits_for_all_that_somebody_waits_for() {
    let scheduler = Scheduler::new(config(8, 2, Shed::Oldest));
    let [a, b] = ["a", "b"].map(StreamId::from);
    scheduler.look_ahead(&a, there(1));
    scheduler.look_ahead(&b, there(2));
    scheduler.look_ahead(&a, there(3));
    submit(&scheduler, "c", 0, true).await;
    assert_eq!(work(&scheduler).await, Ok(vec!["c/0".to_owned()]));
    // Of each stream the newest, in turn.
    assert_eq!((work(&scheduler).await, work(&scheduler).await), (Err(3), Err(2)));
    assert!(timeout(LONG, scheduler.next()).await.is_err(), "nothing is left");
    // Who waits is woken by it; a window takes what was there of it along.
    let (waiting, other) = (scheduler.clone(), scheduler.clone());
    let (told, ()) = tokio::join!(work(&waiting), async move { other.look_ahead(&a, there(4)) });
    assert_eq!(told, Err(4));
    scheduler.look_ahead(&b, there(5));
    submit(&scheduler, "b", 0, true).await;
    assert_eq!(work(&scheduler).await, Ok(vec!["b/0".to_owned()]));
    scheduler.look_ahead(&b, there(6));
    scheduler.forget(&b);
    assert!(timeout(LONG, scheduler.next()).await.is_err(), "its stream is gone");
    scheduler.look_ahead(&b, there(7));
    scheduler.close();
    scheduler.look_ahead(&b, there(8));
    assert!(scheduler.next().await.is_none(), "nobody wants its window any more");
    let off = Scheduler::new(ScheduleConfig { ahead: false, ..config(8, 2, Shed::Oldest) });
    off.look_ahead(&b, there(9));
    assert!(timeout(LONG, off.next()).await.is_err(), "it is turned off");
}

async fn batch(scheduler: &Scheduler) -> Vec<String> {
    let jobs = timeout(LONG, next_windows(scheduler)).await.expect("no hang").expect("not closed");
    jobs.iter().map(|job| job.window.id.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_linger_and_streams_take_turns() {
    let scheduler = Scheduler::new(config(3, 4, Shed::Oldest));
    for (stream, index) in [("a", 0), ("a", 1), ("a", 2), ("b", 0)] {
        assert!(submit(&scheduler, stream, index, true).await.is_empty());
    }
    assert_eq!((scheduler.depth(&StreamId::from("a")), scheduler.waiting()), (3, 4));
    let start = Instant::now();
    assert_eq!(batch(&scheduler).await, ["a/0", "b/0", "a/1"]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(batch(&scheduler).await, ["a/2"]);
    assert_eq!(start.elapsed(), LINGER);
}

#[tokio::test(start_paused = true)]
async fn a_batch_lingers_from_its_oldest_window_on() {
    let scheduler = Scheduler::new(config(3, 4, Shed::Oldest));
    submit(&scheduler, "a", 0, true).await;
    advance(LINGER / 2).await;
    submit(&scheduler, "b", 0, true).await;
    let start = Instant::now();
    assert_eq!(batch(&scheduler).await, ["a/0", "b/0"]);
    assert_eq!(start.elapsed(), LINGER / 2);
    // What arrives while it lingers fills it.
    submit(&scheduler, "a", 1, true).await;
    let (start, other) = (Instant::now(), scheduler.clone());
    let filling = tokio::spawn(async move {
        submit(&other, "b", 1, true).await;
        submit(&other, "c", 0, true).await;
    });
    assert_eq!(batch(&scheduler).await, ["a/1", "b/1", "c/0"]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    filling.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_live_stream_sheds_the_oldest_or_the_newest() {
    let scheduler = Scheduler::new(config(9, 2, Shed::Oldest));
    let mut shed = Vec::new();
    for index in 0..4 {
        shed.extend(submit(&scheduler, "a", index, true).await);
    }
    assert!(submit(&scheduler, "b", 0, true).await.is_empty(), "another stream has its own room");
    assert_eq!(
        (shed.as_slice(), batch(&scheduler).await),
        (["a/0", "a/1"].map(String::from).as_slice(), ["a/2", "b/0", "a/3"].map(String::from).to_vec())
    );
    let scheduler = Scheduler::new(config(9, 2, Shed::Newest));
    let mut shed = Vec::new();
    for index in 0..4 {
        shed.extend(submit(&scheduler, "a", index, true).await);
    }
    assert_eq!(
        (shed, batch(&scheduler).await),
        (vec!["a/2".to_owned(), "a/3".to_owned()], vec!["a/0".to_owned(), "a/1".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_waits_for_room_and_holds_up_nobody() {
    let scheduler = Scheduler::new(config(1, 1, Shed::Oldest));
    submit(&scheduler, "file", 0, false).await;
    let other = scheduler.clone();
    let waiting = tokio::spawn(async move { submit(&other, "file", 1, false).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert!(submit(&scheduler, "live", 0, true).await.is_empty());
    assert_eq!(batch(&scheduler).await, ["file/0"]);
    assert_eq!(waiting.await.expect("no panic"), Vec::<String>::new());
    assert_eq!(batch(&scheduler).await, ["live/0"]);
    assert_eq!(batch(&scheduler).await, ["file/1"]);
}

#[tokio::test(start_paused = true)]
async fn closing_gives_out_what_is_queued_and_gives_back_what_waits() {
    let scheduler = Scheduler::new(config(8, 1, Shed::Oldest));
    submit(&scheduler, "file", 0, false).await;
    let other = scheduler.clone();
    let waiting = tokio::spawn(async move { submit(&other, "file", 1, false).await });
    tokio::task::yield_now().await;
    scheduler.close();
    assert_eq!(waiting.await.expect("no panic"), ["file/1"]);
    assert_eq!(submit(&scheduler, "live", 0, true).await, ["live/0"]);
    let start = Instant::now();
    assert_eq!(batch(&scheduler).await, ["file/0"]);
    assert!(scheduler.next().await.is_none());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_is_woken_by_closing() {
    let scheduler = Scheduler::new(config(8, 1, Shed::Oldest));
    let other = scheduler.clone();
    let reader = tokio::spawn(async move { other.next().await.is_none() });
    tokio::task::yield_now().await;
    scheduler.close();
    assert!(timeout(LONG, reader).await.expect("woken").expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn cancelled_calls_lose_nothing_that_was_queued() {
    let scheduler = Scheduler::new(config(8, 1, Shed::Oldest));
    submit(&scheduler, "file", 0, false).await;
    assert!(timeout(LINGER / 2, scheduler.next()).await.is_err());
    assert!(timeout(LINGER / 4, scheduler.submit(job("file", 1, false))).await.is_err());
    assert_eq!(scheduler.waiting(), 1);
    assert_eq!(batch(&scheduler).await, ["file/0"]);
    assert_eq!(submit(&scheduler, "file", 2, false).await, Vec::<String>::new());
    assert_eq!(batch(&scheduler).await, ["file/2"]);
}

/// Runs streams of `(windows, live)` against a reader until all is given out; returns what was given out and shed.
async fn run(config: ScheduleConfig, streams: Vec<(u64, bool)>) -> (Vec<WindowId>, Vec<WindowId>) {
    let scheduler = Scheduler::new(config);
    let mut writers = Vec::new();
    for (stream, (windows, live)) in streams.into_iter().enumerate() {
        let scheduler = scheduler.clone();
        writers.push(tokio::spawn(async move {
            let mut shed = Vec::new();
            for index in 0..windows {
                let submitted = scheduler.submit(job(&format!("cam-{stream}"), index, live)).await;
                shed.extend(submitted.shed.into_iter().map(|window| window.id));
                if index % 3 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            shed
        }));
    }
    let reader = tokio::spawn({
        let scheduler = scheduler.clone();
        async move {
            let mut given = Vec::new();
            while let Some(jobs) = next_windows(&scheduler).await {
                assert!(!jobs.is_empty() && jobs.len() <= config.max_batch.max(1));
                given.extend(jobs.into_iter().map(|job| job.window.id));
            }
            given
        }
    });
    let mut shed = Vec::new();
    for writer in writers {
        shed.extend(writer.await.expect("no panic"));
    }
    scheduler.close();
    (reader.await.expect("no panic"), shed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_job_is_given_out_once_in_order_or_shed_and_files_lose_none(
        streams in prop::collection::vec((0u64..30, any::<bool>()), 1..6),
        max_batch in 0usize..6, queue in 0usize..4, oldest in any::<bool>(),
    ) {
        let shed = if oldest { Shed::Oldest } else { Shed::Newest };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let (given, shed) = runtime
            .expect("a runtime")
            .block_on(async { timeout(LONG, run(config(max_batch, queue, shed), streams.clone())).await })
            .expect("no hang");
        let mut by_stream: BTreeMap<&StreamId, Vec<u64>> = BTreeMap::new();
        for id in &given {
            by_stream.entry(&id.stream).or_default().push(id.index);
        }
        for indices in by_stream.values() {
            prop_assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
        }
        for (number, (windows, live)) in streams.iter().enumerate() {
            let stream = StreamId::from(format!("cam-{number}"));
            let mut all: Vec<u64> =
                given.iter().chain(&shed).filter(|id| id.stream == stream).map(|id| id.index).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..*windows).collect::<Vec<_>>());
            prop_assert!(*live || shed.iter().all(|id| id.stream != stream));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_takes_the_room_that_streams_leave() {
    let scheduler = Scheduler::new(config(3, 4, Shed::Oldest));
    let ask = async |index: u64| {
        let asked = Job { behind: true, ..job("ask", index, false) };
        timeout(LONG, scheduler.submit(asked)).await.expect("there is room").shed
    };
    for index in 0..3 {
        assert!(ask(index).await.is_empty());
    }
    for index in 0..4 {
        submit(&scheduler, "a", index, true).await;
    }
    assert_eq!(batch(&scheduler).await, ["a/0", "a/1", "a/2"], "streams go first");
    assert_eq!(batch(&scheduler).await, ["a/3", "ask/0", "ask/1"], "they leave room");
    // Nothing else waits: one at a time, at once.
    let start = Instant::now();
    assert_eq!(batch(&scheduler).await, ["ask/2"]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(scheduler.waiting(), 0);
}

async fn ask(scheduler: &Scheduler, who: &str, index: u64) {
    let asked = Job { behind: true, ..job(who, index, false) };
    let shed = timeout(LONG, scheduler.submit(asked)).await.expect("there is room").shed;
    assert!(shed.is_empty());
}

/// Batches of two that live windows fill, one each half second, for so long.
async fn saturated(scheduler: &Scheduler, seconds: u64) -> Vec<(Duration, Vec<String>)> {
    let (start, mut batches) = (Instant::now(), Vec::new());
    let mut index = 0;
    while start.elapsed() < Duration::from_secs(seconds) {
        for stream in ["a", "b", "c"] {
            // What is shed is the streams' business.
            let _shed = scheduler.submit(job(stream, index, true)).await;
        }
        index += 1;
        batches.push((start.elapsed(), batch(scheduler).await));
        advance(Duration::from_millis(500)).await;
    }
    batches
}

#[tokio::test(start_paused = true)]
async fn questions_have_a_share_of_a_model_that_windows_fill() {
    let scheduler = Scheduler::new(config(2, 1, Shed::Oldest));
    ask(&scheduler, "one", 0).await;
    ask(&scheduler, "other", 0).await;
    let batches = saturated(&scheduler, 7).await;
    assert!(batches.iter().all(|(_, batch)| batch.len() == 2), "{batches:?}");
    let asked = |(at, batch): &(Duration, Vec<String>)| {
        let asked = batch.iter().filter(|id| id.starts_with('o')).cloned().collect::<Vec<_>>();
        (!asked.is_empty()).then_some((at.as_millis(), asked))
    };
    let asked: Vec<_> = batches.iter().filter_map(asked).collect();
    // The first has waited for its share, and then each for its own: never more than one place in two seconds.
    assert_eq!(asked, [(2000, vec!["one/0".to_owned()]), (4000, vec!["other/0".to_owned()])]);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_comes_later_waits_from_its_coming() {
    let scheduler = Scheduler::new(config(1, 1, Shed::Oldest));
    saturated(&scheduler, 60).await;
    ask(&scheduler, "one", 0).await;
    let batches = saturated(&scheduler, 4).await;
    let at = batches.iter().find(|(_, batch)| batch[0] == "one/0").map(|(at, _)| at.as_millis());
    assert_eq!(at, Some(2000), "batches of one are given up for it, too");
}
