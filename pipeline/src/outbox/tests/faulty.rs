//! A disk that fills up and is cleared again, below the real store.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};

use super::*;

/// The switches of a disk.
#[derive(Debug, Default)]
struct Switches {
    /// There is no space.
    full: AtomicBool,
    /// The sync that takes it from 1 to 0 works, but says that it did not, and the disk is gone then.
    syncs_left: AtomicUsize,
    /// Nothing works.
    gone: AtomicBool,
}

/// Writes to the real file, as long as it may.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    switches: Arc<Switches>,
}

impl Disk {
    fn space(&self) -> io::Result<()> {
        self.there()?;
        if self.switches.full.load(Ordering::SeqCst) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn there(&self) -> io::Result<()> {
        if self.switches.gone.load(Ordering::SeqCst) { Err(io::Error::other("gone")) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.there()?;
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.space()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.space()?;
        self.file.sync_data()?;
        let left = self.switches.syncs_left.load(Ordering::SeqCst);
        self.switches.syncs_left.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            self.switches.gone.store(true, Ordering::SeqCst);
        }
        self.there()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.space()?;
        self.file.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
}

/// An outbox on such a disk, and its switches.
fn on_disk(config: &OutboxConfig) -> (Outbox, Arc<Switches>) {
    let switches = Arc::new(Switches::default());
    let (path, shared) = (config.path.clone(), switches.clone());
    let opener = move |_| {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = FileBackend::new(file.map_err(redb::Error::Io)?).map_err(redb::Error::from)?;
        Ok(Database::builder().create_with_backend(Disk { file, switches: shared.clone() })?)
    };
    (Outbox::open_with(config, Box::new(opener)).expect("opens"), switches)
}

/// The disk dies at every point of a transaction; after it is back, every message is there or counted, and the counters
/// say the truth about the file.
#[test]
fn a_transaction_of_unknown_fate_is_found_out() {
    for (syncs, when_full) in
        (1..=4).flat_map(|syncs| [(syncs, WhenFull::DropOldest), (syncs, WhenFull::Block)])
    {
        let (folder, mut given) = (tempdir(), 16);
        let config = config(&folder, 1 << 20, when_full);
        let (outbox, switches) = on_disk(&config);
        outbox.append(&messages(3, 10)).expect("appends");
        switches.syncs_left.store(syncs, Ordering::SeqCst);
        let settled = outbox.settle(Topic::Events, vec![(1, Verdict::Delivered)]);
        let appending = std::thread::spawn({
            let outbox = outbox.clone();
            move || (0..6).map(|_| outbox.append(&messages(2, 10)).expect("appends").stored).sum::<u64>()
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while !switches.gone.load(Ordering::SeqCst) {
            assert!(Instant::now() < deadline, "the disk dies");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        assert!(outbox.accounting().balanced());
        switches.gone.store(false, Ordering::SeqCst);
        settled.blocking_recv().expect("settled");
        let stored = appending.join().expect("no panic");
        let deadline = Instant::now() + Duration::from_secs(20);
        while outbox.append(&messages(1, 10)).expect("appends").stored == 0 {
            assert!(Instant::now() < deadline, "it is used again");
            given += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
        let accounting = outbox.accounting();
        assert!(accounting.balanced(), "{accounting:?}");
        assert_eq!((accounting.produced, accounting.acknowledged), (given, 1), "{syncs} {when_full:?}");
        assert_eq!(accounting.spooled, waiting(&outbox).len() as u64, "{syncs} {when_full:?} {accounting:?}");
        assert!(accounting.spooled >= 2 + stored, "what was said to be stored is: {stored} {accounting:?}");
        if when_full == WhenFull::Block {
            assert_eq!(accounting.spooled, 15, "{syncs}: nothing is lost and nothing twice");
        }
        drop(outbox);
        assert_eq!(Outbox::open(&config).expect("opens").accounting(), accounting, "{syncs} {when_full:?}");
    }
}

#[test]
fn a_full_disk_drops_counts_and_recovers() {
    let folder = tempdir();
    let config = config(&folder, 1 << 20, WhenFull::DropOldest);
    let (outbox, switches) = on_disk(&config);
    outbox.append(&messages(3, 10)).expect("appends");
    switches.full.store(true, Ordering::SeqCst);
    assert_eq!(outbox.append(&messages(5, 10)).expect("is no error"), Appended { stored: 0, dropped: 5 });
    assert_eq!(outbox.append(&messages(2, 10)).expect("is no error"), Appended { stored: 0, dropped: 2 });
    let trouble = outbox.watch_trouble().borrow().clone().expect("nothing can be written");
    assert!(trouble.reason.contains("the disk is full; free some space"), "{}", trouble.reason);
    assert!(
        trouble.reason.ends_with("new messages are dropped and counted until it can"),
        "{}",
        trouble.reason
    );
    // A verdict waits for the disk.
    let mut settled = outbox.settle(Topic::Events, vec![(0, Verdict::Delivered)]);
    let accounting = outbox.accounting();
    assert_eq!((accounting.produced, accounting.spooled, dropped(&outbox, reason::DISK_FULL)), (10, 3, 7));
    assert!(accounting.balanced() && settled.try_recv().is_err());

    switches.full.store(false, Ordering::SeqCst);
    settled.blocking_recv().expect("settled once there is space, without another call");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut given = 10;
    while outbox.append(&messages(1, 10)).expect("is no error").stored == 0 {
        assert!(Instant::now() < deadline, "it is used again");
        given += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(*outbox.watch_trouble().borrow(), None);
    let before = outbox.accounting();
    assert_eq!((before.produced, before.acknowledged, before.spooled), (given + 1, 1, 3));
    drop(outbox);
    assert_eq!(Outbox::open(&config).expect("opens").accounting(), before, "what was lost is on record");
}

#[test]
fn a_full_disk_is_waited_for_when_nothing_may_be_dropped() {
    let folder = tempdir();
    let (outbox, switches) = on_disk(&config(&folder, 1 << 20, WhenFull::Block));
    switches.full.store(true, Ordering::SeqCst);
    let appending = std::thread::spawn({
        let outbox = outbox.clone();
        move || outbox.append(&messages(3, 10))
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!appending.is_finished());
    let trouble = outbox.watch_trouble().borrow().clone().expect("nothing can be written");
    assert!(trouble.reason.ends_with("everything waits until it can"), "{}", trouble.reason);
    switches.full.store(false, Ordering::SeqCst);
    assert_eq!(appending.join().expect("no panic").expect("appends"), Appended { stored: 3, dropped: 0 });
    assert_eq!(waiting(&outbox), ids(0..3));
}

#[test]
fn a_run_does_not_wait_for_a_failing_disk() {
    let folder = tempdir();
    let (outbox, switches) = on_disk(&config(&folder, 1 << 20, WhenFull::Block));
    switches.full.store(true, Ordering::SeqCst);
    assert!(outbox.begin("cam").blocking_recv().is_err(), "nobody will remember it");
    switches.full.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(20);
    let interruptions = loop {
        assert!(Instant::now() < deadline, "it is used again");
        if let Ok(Begun { interruptions, .. }) = outbox.begin("cam").blocking_recv() {
            break interruptions;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // Whether the first is on disk, its fate was unknown.
    assert!(interruptions <= 1);
}
