//! Makes an MP4 file forget when it was written, so that the same content is the same bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Boxes that hold the ones below.
const FOLDERS: [&[u8; 4]; 3] = [b"moov", b"trak", b"mdia"];
/// Boxes that begin with version and flags and then say when they were made and changed.
const DATED: [&[u8; 4]; 3] = [b"mvhd", b"tkhd", b"mdhd"];

/// Sets all times of creation and change in the file to 0.
pub(super) fn undate(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let end = file.metadata()?.len();
    undate_span(&mut file, 0, end)?;
    file.sync_all()
}

fn undate_span(file: &mut File, mut at: u64, end: u64) -> io::Result<()> {
    while at + 8 <= end {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        let mut start = at + 8;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => end - at,
            1 => {
                let mut long = [0; 8];
                file.read_exact(&mut long)?;
                start += 8;
                u64::from_be_bytes(long)
            }
            short => u64::from(short),
        };
        let next = at.checked_add(size).filter(|next| *next >= start && *next <= end);
        let next =
            next.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a box is longer than the file"))?;
        if FOLDERS.contains(&&kind) {
            undate_span(file, start, next)?;
        } else if DATED.contains(&&kind) {
            file.seek(SeekFrom::Start(start))?;
            let mut version = [0; 4];
            file.read_exact(&mut version)?;
            // Two times of 4 bytes, or in version 1 of 8.
            let zeros = if version[0] == 1 { [0; 16].as_slice() } else { [0; 8].as_slice() };
            file.write_all(zeros)?;
        }
        at = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], inside: &[u8]) -> Vec<u8> {
        let size = u32::try_from(inside.len() + 8).expect("short").to_be_bytes();
        [&size[..], kind, inside].concat()
    }

    #[test]
    fn only_dates_are_changed() {
        let header = |date: u8, version: u8| {
            let dates = if version == 1 { 16 } else { 8 };
            [&[version, 0, 0, 3][..], &vec![date; dates], &[7; 12]].concat()
        };
        let file = |date: u8| {
            let media = boxed(b"mdia", &[boxed(b"mdhd", &header(date, 0)), boxed(b"hdlr", &[9; 6])].concat());
            let track = boxed(b"trak", &[boxed(b"tkhd", &header(date, 1)), media].concat());
            let movie = boxed(b"moov", &[boxed(b"mvhd", &header(date, 0)), track].concat());
            [boxed(b"ftyp", b"isom"), boxed(b"mdat", &[5; 40]), movie].concat()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.mp4");
        std::fs::write(&path, file(200)).expect("written");
        undate(&path).expect("a good file");
        assert_eq!(std::fs::read(&path).expect("read"), file(0));
        std::fs::write(&path, &file(200)[..80]).expect("written");
        assert!(undate(&path).is_err(), "a cut file");
    }
}
