//! What streams carry, and what a source's process says of them.

use std::time::Duration;

use avicuna_pipeline::source::apart::line::Line;
use avicuna_pipeline::source::apart::wire::{self, Message};
use avicuna_pipeline::source::nal::{Codec, Reader};
use avicuna_pipeline::source::pat::{Table, Tables};
use avicuna_pipeline::source::rtcp::{at_rtp, sender_report};
use avicuna_pipeline::source::uri::Address;
use avicuna_pipeline::stream::StreamId;
use avicuna_pipeline::window::{Assembler, WindowSpec};
use futures_util::FutureExt;

/// The boxes of an MP4 file: a failure names the file.
pub fn mp4(input: &[u8]) {
    crate::as_file(input, ".mp4", |path| {
        let address = Address::parse(path.to_str().expect("UTF-8")).expect("a path");
        if let Err(failure) = address.check() {
            assert!(failure.message.contains("hurt"), "{failure}");
        }
    });
}

/// RTCP sender reports: times of this age, and near the report's.
pub fn rtcp(input: &[u8]) {
    let Some((_sender, report)) = sender_report(input) else { return };
    assert!(input.len() >= 20, "it is read from {} bytes", input.len());
    // 32 bits of seconds from 1900 on.
    let seconds = report.utc.div_euclid(1_000_000_000);
    assert!((-2_208_988_800..=2_085_978_496).contains(&seconds), "{report:?}");
    for rtp in [0, report.rtp, report.rtp.wrapping_add(1 << 31), u32::MAX] {
        let utc = at_rtp(report, rtp, 1);
        assert!(utc.abs_diff(report.utc) <= (1 << 31) * 1_000_000_000, "{report:?} at {rtp}: {utc}");
    }
}

/// Tables of transport streams: the same in one piece and in several, and no map of a programme that was not announced.
pub fn pat(input: &[u8]) {
    let mut all = Vec::new();
    let mut tables = Tables::default();
    tables.read(input, |table| all.push(table));
    let mut programs = Vec::new();
    for table in &all {
        match table {
            Table::Association(numbers) => {
                assert!(numbers.len() <= 42 && !numbers.contains(&0), "{table:?}");
                programs.clone_from(numbers);
            }
            Table::Map(number) => assert!(programs.contains(number), "{table:?} of {programs:?}"),
        }
    }
    let (mut tables, mut pieces) = (Tables::default(), Vec::new());
    input.chunks(97).for_each(|piece| tables.read(piece, |table| pieces.push(table)));
    assert_eq!(pieces, all, "in pieces it is another one");
}

/// Headers of coded pictures.
pub fn nal(input: &[u8]) {
    for codec in [Codec::Avc, Codec::Hevc] {
        for length in [None, Some(1), Some(2), Some(4)] {
            let mut reader = Reader::new(codec, length);
            let is_disposable = reader.is_disposable(input);
            assert!(!is_disposable || input.len() >= 3, "{codec:?}: of {} bytes", input.len());
        }
    }
}

/// Pixels of a side of a frame.
const SIDE: usize = 2;

/// A source's process that was taken over: whatever it says, windows stay whole, few and bounded.
pub fn message(input: &[u8]) {
    let spec = WindowSpec {
        length: Duration::from_secs(4),
        hop: Duration::from_secs(2),
        visual_slots: 4,
        audio_slots: 8,
        sample_rate: 1_000,
        clip: Duration::from_secs(1),
        patience: Duration::ZERO,
    };
    let mut line = Line::new(Duration::from_secs(1));
    let mut windows = Assembler::new(StreamId::from("fuzz"), spec).expect("a shape");
    let mut rest = input;
    // It may say so much before it is ended for what it said.
    while let Some(Ok(Message::Event(event))) = wire::read(&mut rest, SIDE).now_or_never() {
        let Ok(events) = line.place(event) else { return };
        for event in events {
            let closed = windows.push(event);
            assert!(closed.len() <= 4_000, "{} windows by one message", closed.len());
        }
    }
}
