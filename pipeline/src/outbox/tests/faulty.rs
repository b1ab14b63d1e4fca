//! A disk that fills up and is cleared again, below the real store.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};

use super::*;

/// Writes to the real file, as long as there is space.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn space(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
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
        self.file.sync_data()
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

/// An outbox on such a disk, and its switch.
fn on_disk(config: &OutboxConfig) -> (Outbox, Arc<AtomicBool>) {
    let full = Arc::new(AtomicBool::new(false));
    let (path, switch) = (config.path.clone(), full.clone());
    let opener = move || {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = FileBackend::new(file.map_err(redb::Error::Io)?).map_err(redb::Error::from)?;
        Ok(Database::builder().create_with_backend(Disk { file, full: switch.clone() })?)
    };
    (Outbox::open_with(config, Box::new(opener)).expect("opens"), full)
}

#[test]
fn a_full_disk_drops_counts_and_recovers() {
    let folder = tempdir();
    let config = config(&folder, 1 << 20, WhenFull::DropOldest);
    let (outbox, full) = on_disk(&config);
    outbox.append(&messages(3, 10)).expect("appends");
    full.store(true, Ordering::SeqCst);
    assert_eq!(outbox.append(&messages(5, 10)).expect("is no error"), Appended { stored: 0, dropped: 5 });
    assert_eq!(outbox.append(&messages(2, 10)).expect("is no error"), Appended { stored: 0, dropped: 2 });
    // A verdict waits for the disk.
    let mut settled = outbox.settle(Topic::Events, vec![(0, Verdict::Delivered)]);
    let accounting = outbox.accounting();
    assert_eq!((accounting.produced, accounting.spooled, dropped(&outbox, reason::DISK_FULL)), (10, 3, 7));
    assert!(accounting.balanced() && settled.try_recv().is_err());

    full.store(false, Ordering::SeqCst);
    settled.blocking_recv().expect("settled once there is space, without another call");
    assert_eq!(outbox.append(&messages(1, 10)).expect("appends"), Appended { stored: 1, dropped: 0 });
    let before = outbox.accounting();
    assert_eq!((before.produced, before.acknowledged, before.spooled), (11, 1, 3));
    drop(outbox);
    assert_eq!(Outbox::open(&config).expect("opens").accounting(), before, "what was lost is on record");
}

#[test]
fn a_full_disk_is_waited_for_when_nothing_may_be_dropped() {
    let folder = tempdir();
    let (outbox, full) = on_disk(&config(&folder, 1 << 20, WhenFull::Block));
    full.store(true, Ordering::SeqCst);
    let appending = std::thread::spawn({
        let outbox = outbox.clone();
        move || outbox.append(&messages(3, 10))
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!appending.is_finished());
    full.store(false, Ordering::SeqCst);
    assert_eq!(appending.join().expect("no panic").expect("appends"), Appended { stored: 3, dropped: 0 });
    assert_eq!(waiting(&outbox), ids(0..3));
}
