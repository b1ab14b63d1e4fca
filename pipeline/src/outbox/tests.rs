//! The outbox through its handle: policies, restarts, failing disks, and the accounting under random work.

mod faulty;
mod runs;

use std::fs;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

pub(super) fn message(topic: Topic, key: &str, index: usize, bytes: usize) -> Message {
    let (ce_type, ce_id) = ("avicuna.event.v1".to_owned(), format!("id-{index}"));
    let ce_time = "2026-11-24T02:45:39.120Z".to_owned();
    Message { topic, key: key.to_owned(), ce_type, ce_id, ce_time, payload: vec![b'x'; bytes], subject: None }
}

/// A word about a subject.
fn told(index: usize, id: &str, is_over: bool) -> Message {
    let subject = Some(Subject { id: id.to_owned(), is_over });
    Message { subject, ..message(Topic::Events, "cam", index, 10) }
}

fn messages(count: usize, bytes: usize) -> Vec<Message> {
    (0..count).map(|index| message(Topic::Events, "cam", index, bytes)).collect()
}

fn config(folder: &TempDir, max_bytes: u64, when_full: WhenFull) -> OutboxConfig {
    OutboxConfig { path: folder.path().join("outbox.redb"), max_bytes, when_full }
}

/// Bytes that `count` messages of `bytes` payload count against the limit.
fn room(count: usize, bytes: usize) -> u64 {
    messages(count, bytes).iter().map(store::size).sum()
}

fn waiting(outbox: &Outbox) -> Vec<String> {
    let read = outbox.read(Topic::Events, 0, usize::MAX, u64::MAX).expect("readable");
    read.into_iter().map(|(_, message)| message.ce_id).collect()
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|index| format!("id-{index}")).collect()
}

fn settle(outbox: &Outbox, settled: Vec<(u64, Verdict)>) {
    outbox.settle(Topic::Events, settled).blocking_recv().expect("settled");
}

fn dropped(outbox: &Outbox, reason: &str) -> u64 {
    outbox.accounting().dropped.get(reason).copied().unwrap_or(0)
}

fn tempdir() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn messages_come_back_as_they_were_after_a_restart() {
    let folder = tempdir();
    let config = config(&folder, 1 << 20, WhenFull::DropOldest);
    let sent: Vec<_> =
        (0..6).map(|index| message(Topic::ALL[index % 3], "cam/1", index, 10 * index)).collect();
    let outbox = Outbox::open(&config).expect("opens");
    assert_eq!(outbox.append(&sent).expect("appends"), Appended { stored: 6, dropped: 0 });
    settle(&outbox, vec![(0, Verdict::Delivered), (3, Verdict::Refused(reason::TOO_LARGE))]);
    let before = outbox.accounting();
    drop(outbox);

    let outbox = Outbox::open(&config).expect("opens again");
    assert_eq!(outbox.accounting(), before);
    assert_eq!((before.produced, before.acknowledged, before.spooled), (6, 1, 4));
    assert_eq!(dropped(&outbox, reason::TOO_LARGE), 1);
    assert!(waiting(&outbox).is_empty(), "events 0 and 3 are settled");
    for (topic, kept) in [(Topic::Coverage, [1, 4]), (Topic::Errors, [2, 5])] {
        let read = outbox.read(topic, 0, 10, u64::MAX).expect("readable");
        let expected: Vec<_> = kept.map(|index| (index as u64, sent[index].clone())).into();
        assert_eq!(read, expected);
    }
    // Numbers are never used twice: a late verdict must not hit a newer message.
    outbox.append(&messages(1, 1)).expect("appends");
    assert_eq!(outbox.read(Topic::Events, 0, 10, u64::MAX).expect("readable")[0].0, 6);
}

#[test]
fn subjects_without_their_last_word_are_known_after_a_restart() {
    let folder = tempdir();
    let config = config(&folder, room(3, 10), WhenFull::DropNew);
    let outbox = Outbox::open(&config).expect("opens");
    assert_eq!(outbox.left_open().expect("readable"), []);
    outbox.append(&[told(0, "a", false), told(1, "b", false), told(2, "a", false)]).expect("appends");
    // No room for these: nobody will learn that `b` is over, and nobody has learnt of `c`.
    let too_large = Message { payload: vec![b'x'; 1000], ..told(3, "b", true) };
    outbox.append(&[too_large, told(4, "c", false)]).expect("appends");
    settle(&outbox, (0..3).map(|number| (number, Verdict::Delivered)).collect());
    drop(outbox);

    let outbox = Outbox::open(&config).expect("opens again");
    let left = |outbox: &Outbox| -> Vec<String> {
        outbox.left_open().expect("readable").into_iter().map(|message| message.ce_id).collect()
    };
    assert_eq!(left(&outbox), ["id-2", "id-1"]);
    outbox.append(&[told(5, "a", true), told(6, "b", true)]).expect("appends");
    assert!(left(&outbox).is_empty());
}

#[test]
fn reads_stop_at_the_byte_limit_but_give_at_least_one() {
    let folder = tempdir();
    let outbox = Outbox::open(&config(&folder, 1 << 20, WhenFull::DropOldest)).expect("opens");
    outbox.append(&messages(5, 1000)).expect("appends");
    let count = |bytes| outbox.read(Topic::Events, 0, 10, bytes).expect("readable").len();
    assert_eq!((count(1), count(room(2, 1000)), count(u64::MAX)), (1, 2, 5));
    assert_eq!(outbox.read(Topic::Events, 3, 10, u64::MAX).expect("readable").len(), 2);
}

#[test]
fn when_full_the_oldest_give_way() {
    let folder = tempdir();
    let outbox = Outbox::open(&config(&folder, room(4, 100), WhenFull::DropOldest)).expect("opens");
    assert_eq!(outbox.append(&messages(7, 100)).expect("appends"), Appended { stored: 7, dropped: 3 });
    assert_eq!(waiting(&outbox), ids(3..7));
    assert_eq!(dropped(&outbox, reason::FULL_OLDEST), 3);
    // The sink delivered one that had already given way: it stays counted once.
    settle(&outbox, vec![(0, Verdict::Delivered), (3, Verdict::Delivered)]);
    let accounting = outbox.accounting();
    assert_eq!((accounting.acknowledged, accounting.spooled), (1, 3));
    assert!(accounting.balanced());
}

#[test]
fn the_oldest_of_all_topics_gives_way_first() {
    let folder = tempdir();
    let outbox = Outbox::open(&config(&folder, room(2, 1), WhenFull::DropOldest)).expect("opens");
    for (index, topic) in [Topic::Errors, Topic::Events, Topic::Coverage].into_iter().enumerate() {
        outbox.append(&[message(topic, "cam", index, 1)]).expect("appends");
    }
    let count = |topic| outbox.read(topic, 0, 9, u64::MAX).expect("readable").len();
    assert_eq!((count(Topic::Errors), count(Topic::Events), count(Topic::Coverage)), (0, 1, 1));
}

#[test]
fn when_full_the_new_give_way() {
    let folder = tempdir();
    let outbox = Outbox::open(&config(&folder, room(4, 100), WhenFull::DropNew)).expect("opens");
    assert_eq!(outbox.append(&messages(7, 100)).expect("appends"), Appended { stored: 4, dropped: 3 });
    assert_eq!(waiting(&outbox), ids(0..4));
    assert_eq!(dropped(&outbox, reason::FULL_NEWEST), 3);
}

#[test]
fn a_message_larger_than_the_outbox_is_dropped_under_every_policy() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropNew, WhenFull::Block] {
        let folder = tempdir();
        let outbox = Outbox::open(&config(&folder, 300, when_full)).expect("opens");
        let sent = [message(Topic::Events, "cam", 0, 10), message(Topic::Events, "cam", 1, 1000)];
        assert_eq!(
            outbox.append(&sent).expect("appends"),
            Appended { stored: 1, dropped: 1 },
            "{when_full:?}"
        );
        assert_eq!(waiting(&outbox), ids(0..1));
        assert_eq!(dropped(&outbox, reason::LARGER_THAN_OUTBOX), 1);
    }
}

#[test]
fn when_full_block_waits_for_room_and_keeps_the_order() {
    let folder = tempdir();
    let outbox = Outbox::open(&config(&folder, room(4, 100), WhenFull::Block)).expect("opens");
    let appending = std::thread::spawn({
        let outbox = outbox.clone();
        move || outbox.append(&messages(6, 100))
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while outbox.accounting().spooled < 4 {
        assert!(Instant::now() < deadline, "what fits is stored at once");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(50));
    assert!(!appending.is_finished() && outbox.accounting().balanced());
    settle(&outbox, vec![(0, Verdict::Delivered), (1, Verdict::Delivered)]);
    let appended = appending.join().expect("no panic").expect("appends");
    assert_eq!(appended, Appended { stored: 6, dropped: 0 });
    assert_eq!(waiting(&outbox), ids(2..6));
}

#[test]
fn stopping_ends_the_wait_and_counts_what_is_lost() {
    let folder = tempdir();
    let outbox = Outbox::open(&config(&folder, room(4, 100), WhenFull::Block)).expect("opens");
    let appending = std::thread::spawn({
        let outbox = outbox.clone();
        move || outbox.append(&messages(6, 100))
    });
    outbox.stop_waiting();
    assert_eq!(appending.join().expect("no panic").expect("appends"), Appended { stored: 4, dropped: 2 });
    assert_eq!(dropped(&outbox, reason::FULL_AT_SHUTDOWN), 2);
    assert!(outbox.accounting().balanced());
}

#[test]
fn a_file_in_use_is_a_clear_error() {
    let folder = tempdir();
    let config = config(&folder, 1 << 20, WhenFull::DropOldest);
    let _held = Outbox::open(&config).expect("opens");
    let error = Outbox::open(&config).expect_err("held");
    assert!(matches!(error, OutboxError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("outbox.redb"), "{error}");
}

#[test]
fn what_is_no_outbox_is_left_alone() {
    let folder = tempdir();
    let config = config(&folder, 1 << 20, WhenFull::DropOldest);
    let text = "precious notes, no database\n".repeat(1000);
    fs::write(&config.path, &text).expect("written");
    let error = Outbox::open(&config).expect_err("foreign");
    assert!(matches!(error, OutboxError::Foreign { .. }), "{error}");
    assert_eq!(fs::read_to_string(&config.path).expect("still there"), text);

    fs::remove_file(&config.path).expect("removed");
    let other = redb::Database::create(&config.path).expect("created");
    let write = other.begin_write().expect("begun");
    write.open_table(redb::TableDefinition::<u64, u64>::new("ledger of another program")).expect("made");
    write.commit().expect("committed");
    drop(other);
    let error = Outbox::open(&config).expect_err("foreign");
    assert!(error.to_string().contains("ledger of another program"), "{error}");
}

#[test]
fn a_damaged_file_is_a_clear_error_and_no_panic() {
    let folder = tempdir();
    let config = config(&folder, 1 << 24, WhenFull::DropOldest);
    let outbox = Outbox::open(&config).expect("opens");
    outbox.append(&messages(2000, 500)).expect("appends");
    drop(outbox);
    let whole = fs::read(&config.path).expect("readable");
    let mut wrong = 0;
    for damage in 0..8 {
        let mut bytes = whole.clone();
        match damage {
            0 => bytes.truncate(whole.len() / 2),
            1 => bytes.truncate(100),
            _ => {
                let at = whole.len() * damage / 9;
                bytes[at..at + 4096].fill(0x5a);
            }
        }
        fs::write(&config.path, &bytes).expect("written");
        match Outbox::open(&config) {
            // Damage may lie in a page that nothing uses.
            Ok(outbox) => assert_eq!(waiting(&outbox), ids(0..2000), "damage {damage} went unnoticed"),
            Err(OutboxError::Damaged { .. } | OutboxError::Foreign { .. } | OutboxError::Io { .. }) => {
                wrong += 1
            }
            Err(error) => panic!("damage {damage}: {error}"),
        }
    }
    assert!(wrong >= 3, "only {wrong} of 8 damages were noticed");
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempdir();
    let path = folder.path().join("not/there/outbox.redb");
    let error = Outbox::open(&OutboxConfig { path, ..OutboxConfig::default() }).expect_err("missing");
    assert!(matches!(error, OutboxError::MissingFolder { .. }), "{error}");
    assert!(error.to_string().contains("not/there does not exist"), "{error}");
}

#[test]
fn configuration_words() {
    let text = "path = \"/var/o.redb\"\nmax_bytes = 5\nwhen_full = \"block\"\n";
    let read: OutboxConfig = toml::from_str(text).expect("valid");
    assert_eq!(read, OutboxConfig { path: "/var/o.redb".into(), max_bytes: 5, when_full: WhenFull::Block });
    assert_eq!(toml::from_str::<OutboxConfig>("").expect("valid"), OutboxConfig::default());
    assert!(toml::from_str::<OutboxConfig>("when_full = \"panic\"").is_err());
    assert!(toml::from_str::<OutboxConfig>("size = 3").is_err());
}

#[test]
fn the_space_is_used_again_and_an_emptied_file_shrinks() {
    let folder = tempdir();
    let config = config(&folder, 32 << 20, WhenFull::DropOldest);
    let outbox = Outbox::open(&config).expect("opens");
    let size = || fs::metadata(&config.path).expect("there").len();
    let deliver = |count| {
        let read = outbox.read(Topic::Events, 0, count, u64::MAX).expect("readable");
        settle(&outbox, read.into_iter().map(|(number, _)| (number, Verdict::Delivered)).collect());
    };
    outbox.append(&messages(24_000, 1000)).expect("appends");
    let filled = size();
    for _ in 0..6 {
        deliver(8_000);
        outbox.append(&messages(8_000, 1000)).expect("appends");
    }
    let (limit, used) = (3 * (32 << 20), size());
    assert!(
        filled > 24_000_000 && used < limit,
        "72 MB went through 32 MiB of outbox, the file grew to {used}"
    );
    deliver(usize::MAX);
    let deadline = Instant::now() + Duration::from_secs(20);
    while size() > 4 << 20 {
        assert!(Instant::now() < deadline, "an emptied outbox keeps {} bytes", size());
        std::thread::sleep(Duration::from_millis(10));
    }
    outbox.append(&messages(2, 10)).expect("appends");
    assert_eq!(waiting(&outbox), ids(0..2));
}

/// One step of the random work below.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(usize, usize)>),
    Deliver(Vec<prop::sample::Index>),
    Refuse(prop::sample::Index),
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let appended = prop::collection::vec((0usize..3, 0usize..400), 1..12);
    prop_oneof![
        5 => appended.prop_map(Step::Append),
        4 => prop::collection::vec(any::<prop::sample::Index>(), 1..8).prop_map(Step::Deliver),
        2 => any::<prop::sample::Index>().prop_map(Step::Refuse),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_somewhere(
        steps in prop::collection::vec(step(), 1..25),
        when_full in prop_oneof![Just(WhenFull::DropOldest), Just(WhenFull::DropNew)],
    ) {
        let folder = tempdir();
        let mut config = config(&folder, 3000, when_full);
        let mut outbox = Outbox::open(&config).expect("opens");
        let (mut produced, mut given) = (0u64, 0u64);
        for (round, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(sizes) => {
                    produced += sizes.len() as u64;
                    let batch: Vec<_> = sizes.iter().enumerate()
                        .map(|(index, (topic, bytes))| message(Topic::ALL[*topic], "cam", index, *bytes)).collect();
                    let appended = outbox.append(&batch).expect("appends");
                    prop_assert!(appended.stored <= batch.len() as u64);
                }
                Step::Deliver(picks) => given += verdicts(&outbox, picks.iter(), Verdict::Delivered),
                Step::Refuse(pick) => given += verdicts(&outbox, [&pick].into_iter(), Verdict::Refused(reason::REJECTED)),
                Step::Reopen => {
                    drop(outbox);
                    outbox = Outbox::open(&config).expect("opens again");
                }
                Step::Crash => {
                    // What a killed process leaves is the file as it is now, never closed.
                    let copy = folder.path().join(format!("crash-{round}.redb"));
                    fs::copy(&config.path, &copy).expect("copied");
                    config.path = copy;
                    outbox = Outbox::open(&config).expect("opens after a crash");
                }
            }
            let accounting = outbox.accounting();
            prop_assert!(accounting.balanced(), "{accounting:?}");
            prop_assert_eq!(accounting.produced, produced);
            let read = |topic| outbox.read(topic, 0, usize::MAX, u64::MAX).expect("readable");
            let spooled: Vec<_> = Topic::ALL.into_iter().flat_map(read).collect();
            prop_assert_eq!(accounting.spooled, spooled.len() as u64);
            prop_assert!(spooled.iter().map(|(_, message)| store::size(message)).sum::<u64>() <= config.max_bytes);
            let settled = accounting.acknowledged + accounting.dropped.get(reason::REJECTED).copied().unwrap_or(0);
            prop_assert_eq!(settled, given);
        }
    }
}

/// Settles the picked messages of a topic; returns how many different ones.
fn verdicts<'p>(
    outbox: &Outbox,
    picks: impl Iterator<Item = &'p prop::sample::Index>,
    verdict: Verdict,
) -> u64 {
    let read = outbox.read(Topic::Events, 0, usize::MAX, u64::MAX).expect("readable");
    if read.is_empty() {
        return 0;
    }
    let mut numbers: Vec<_> = picks.map(|pick| read[pick.index(read.len())].0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    settle(outbox, numbers.iter().map(|number| (*number, verdict)).collect());
    numbers.len() as u64
}
