//! A stream that one daemon hands over to another.

use tokio::sync::oneshot;

use super::super::checkpoint::{Checkpoint, Shift};
use super::super::engine::{Command, Leaving, Orders};
use super::super::publisher::{Parcel, Ways};
use super::*;
use crate::record::Run;

/// How a daemon's time with the stream ends.
#[derive(Debug, Clone, Copy)]
enum Fate {
    HandedOver,
    /// As when its machine loses power: what it knew last is what it published last.
    Killed,
    Ended,
}

/// Watches until so many windows are settled, and returns what was published and what another would go on from.
async fn shift(resume: Option<Checkpoint>, windows: usize, fate: Fate) -> (Vec<Record>, Option<Checkpoint>) {
    let shift = Shift { settings: "the same".into(), run: None, resume: resume.map(Box::new) };
    let plan = plan("a", 3600, true).on_shift(shift);
    let (commands, obeyed) = mpsc::channel(4);
    let (publisher, _elsewhere) = Publisher::channel(None);
    let (ways, (way, mut parcels)) = (Ways::default(), mpsc::channel::<Parcel>(64));
    ways.open("a".into(), way);
    let answer =
        |windows: &[WindowInput]| windows.iter().map(|_| says("From 00 to 99, a ball, seen.")).collect();
    let orders = Orders { plans: vec![plan], commands: obeyed, clips: None, spread: false };
    let (control, publisher) = (Arc::new(Control::new()), publisher.beside(ways.clone()));
    let mut engine = Engine::start(orders, (facts(), answer), one_at_a_time(), control, publisher, None);
    let (mut records, mut known, mut settled) = (Vec::new(), None, 0);
    let mut take = |parcel: Parcel, settled: &mut usize| {
        records.extend(parcel.records);
        *settled += parcel.windows.len();
        known = parcel.known.and_then(|known| known.left).and_then(|left| left.checkpoint);
    };
    let watch = async {
        while settled < windows {
            tokio::select! {
                () = engine.all_ended() => panic!("it ended by itself"),
                parcel = parcels.recv() => take(parcel.expect("it publishes"), &mut settled),
            }
        }
        let how = match fate {
            Fate::Killed => return,
            Fate::HandedOver => Leaving::HandedOver,
            Fate::Ended => Leaving::Drained,
        };
        let (over, mut left) = oneshot::channel();
        commands.send(Command::Leave { stream: "a".into(), how, over }).await.expect("the engine obeys");
        loop {
            tokio::select! {
                () = engine.all_ended() => {}
                _over = &mut left => break,
                parcel = parcels.recv() => take(parcel.expect("it publishes"), &mut settled),
            }
        }
        while let Ok(parcel) = parcels.try_recv() {
            take(parcel, &mut settled);
        }
    };
    tokio::time::timeout(HANG, watch).await.expect("the engine hangs");
    // What a daemon tells after its end nobody hears.
    ways.close(&"a".into());
    drop(parcels);
    engine.stop(Duration::ZERO).await;
    let text = serde_json::to_string(&known).expect("it is JSON");
    (records, serde_json::from_str(&text).expect("it is read back"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_daemon_goes_on_without_hole_and_without_a_second_id() {
    for fate in [Fate::HandedOver, Fate::Killed] {
        let (mut records, known) = shift(None, 3, fate).await;
        let known = known.expect("windows were settled");
        assert_eq!(known.tracked.open(), 1, "{fate:?}");
        assert!(matches!(known.run, Run::Once { .. }));
        let before = coverage(&records, "a").last().expect("windows").end.stream;
        tokio::time::sleep(Duration::from_secs(3)).await;

        let (rest, known) = shift(Some(known), 4, Fate::Ended).await;
        assert_eq!(known, None, "its events are ended: nobody goes on");
        records.extend(rest);
        let spans = coverage(&records, "a");
        let away: Vec<_> = spans.iter().filter(|span| !span.watched && span.end.stream > before).collect();
        assert!(!away.is_empty(), "{fate:?}: three seconds were watched by nobody: {spans:?}");
        assert!(
            away.iter().all(|span| span.reason.as_deref().is_some_and(|why| why.contains("took over"))),
            "{away:?}"
        );
        let [started, ended] = ends(&records, "a");
        assert_eq!(started, ended, "{fate:?}");
        let mut lives = std::collections::BTreeMap::<&str, Vec<(Phase, u32)>>::new();
        for event in events(&records, "a") {
            lives.entry(&event.event_id).or_default().push((event.phase, event.revision));
        }
        for (id, life) in &lives {
            let revisions: Vec<u32> = life.iter().map(|(_, revision)| *revision).collect();
            assert_eq!(revisions, (0..life.len() as u32).collect::<Vec<_>>(), "{id}: {life:?}");
            assert_eq!((life[0].0, life[life.len() - 1].0), (Phase::Started, Phase::Ended), "{id}");
        }
        // UTC and stream time advance together over the change.
        let (first, last) = (spans[0], spans[spans.len() - 1]);
        let utc = |at: &crate::stream::Instant| UtcTime::from_rfc3339(&at.utc).expect("a time");
        let passed = utc(&last.end).seconds_since(utc(&first.start));
        assert!(
            (passed - last.end.stream).abs() < 1.0,
            "{passed} s of UTC, {} s of stream time",
            last.end.stream
        );
    }
}
