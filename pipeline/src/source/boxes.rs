//! Looks at the outline of an MP4 file: one whose index is missing can never be played, and demuxers do not say why.

use std::io::{self, Read, Seek, SeekFrom};

use super::failure::{Failure, Kind};

/// More top-level boxes than this are not followed: a recording in fragments has its index first.
const MOST: usize = 1000;

/// What is wrong with the file, if it is an MP4 file without an index.
pub(super) fn check(file: &mut (impl Read + Seek), shown: &str) -> io::Result<Option<Failure>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    for number in 0..MOST {
        let Some((size, name)) = header(file, at, length)? else { break };
        let known = if number == 0 { name == *b"ftyp" } else { name.is_ascii() };
        if name == *b"moov" || (number == 0 && !known) {
            return Ok(None);
        }
        if !known {
            let message = format!("{shown} begins like an MP4 file and goes on like none");
            return Ok(Some(Failure::new(Kind::NotMedia, message)));
        }
        let Some(next) = at.checked_add(size).filter(|next| *next <= length && size >= 8) else {
            let message = format!(
                "{shown} ends in the middle ({length} bytes are there, at least {} were), and its index is missing; \
                 fetch it again",
                at.saturating_add(size)
            );
            return Ok(Some(Failure::new(Kind::Truncated, message)));
        };
        at = next;
    }
    if at == 0 || at < length {
        return Ok(None);
    }
    let message =
        format!("{shown} has no index (moov): whoever wrote it did not finish; write or fetch it again");
    Ok(Some(Failure::new(Kind::Truncated, message)))
}

/// Size and name of the box at `at`; `None` at the end of the file.
fn header(file: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Option<(u64, [u8; 4])>> {
    if length - at < 8 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let (mut size, mut name) = ([0; 4], [0; 4]);
    file.read_exact(&mut size)?;
    file.read_exact(&mut name)?;
    let size = match u32::from_be_bytes(size) {
        // To the end of the file.
        0 => length - at,
        1 if length - at >= 16 => {
            let mut large = [0; 8];
            file.read_exact(&mut large)?;
            u64::from_be_bytes(large)
        }
        size => u64::from(size),
    };
    Ok(Some((size, name)))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn mp4(boxes: &[(&[u8; 4], u32)]) -> Vec<u8> {
        let mut file = Vec::new();
        for (name, size) in boxes {
            file.extend(size.to_be_bytes());
            file.extend(*name);
            file.resize(file.len() + *size as usize - 8, 0);
        }
        file
    }

    fn kind(file: Vec<u8>) -> Option<Kind> {
        check(&mut Cursor::new(file), "a.mp4").expect("memory can be read").map(|failure| failure.kind)
    }

    #[test]
    fn an_index_at_either_end_is_found() {
        assert_eq!(kind(mp4(&[(b"ftyp", 24), (b"mdat", 100), (b"moov", 50)])), None);
        let mut cut = mp4(&[(b"ftyp", 24), (b"moov", 50), (b"mdat", 100)]);
        cut.truncate(100);
        assert_eq!(kind(cut), None, "what is left can be played");
    }

    #[test]
    fn a_missing_index_is_told_from_another_format() {
        let mut cut = mp4(&[(b"ftyp", 24), (b"mdat", 100), (b"moov", 50)]);
        assert_eq!(kind(cut[..124].to_vec()), Some(Kind::Truncated));
        cut.truncate(80);
        assert_eq!(kind(cut), Some(Kind::Truncated));
        let mut other = mp4(&[(b"ftyp", 24)]);
        other.extend([0xff; 100]);
        assert_eq!(kind(other), Some(Kind::NotMedia));
        assert_eq!(kind(b"RIFF....WAVE....".to_vec()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            kind([mp4(&[(b"ftyp", 16)]), bytes].concat());
        }
    }
}
