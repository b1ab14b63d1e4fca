//! Sound of which every sample has the same size (PCM), in chunks of different lengths. The demuxer of GStreamer 1.22 gathers such samples; since a
//! mend of its security (GHSL-2024-246) it gives up in the middle where the chunks' lengths change, reads the times of samples past the end of
//! their table, and the track ends wherever that leads. Of a track that says which samples are key frames it gathers nothing: saying that all
//! are makes it read such a track sample by sample. Pure.

use std::ops::Range;

use super::tree::{Field, boxes, find};

/// A table of key frames without an entry: every sample is one.
const ALL_KEYS: [u8; 16] = [0, 0, 0, 16, b's', b't', b's', b's', 0, 0, 0, 0, 0, 0, 0, 0];
/// The head of a box.
const HEAD: usize = 8;

/// Puts a table of key frames into the sample tables of a track (`minf`), if it is such a track, in place of the box that says where the film's
/// data is: in the file itself.
pub(super) fn mend(moov: &mut [u8], minf: Range<usize>) -> bool {
    let Some(mended) = is_gathered(moov, minf.clone()).then(|| with_keys(moov, minf.clone())).flatten()
    else {
        return false;
    };
    moov[minf].copy_from_slice(&mended);
    true
}

fn is_gathered(moov: &[u8], minf: Range<usize>) -> bool {
    let table = |name: &[u8; 4]| find(moov, minf.clone(), &[b"stbl", name]);
    let number =
        |name: &[u8; 4], after: usize| Field { at: table(name)?.start + after, wide: false }.read(moov);
    let is_sound = find(moov, minf.clone(), &[b"smhd"]).is_some();
    let has_keys = [b"stss", b"stps", b"ctts"].into_iter().any(|name| table(name).is_some());
    let changes = number(b"stsc", 4).is_some_and(|runs| runs > 1);
    is_sound && !has_keys && changes && number(b"stsz", 4).is_some_and(|size| size > 0)
}

/// The same bytes, as many, but with the table.
fn with_keys(moov: &[u8], minf: Range<usize>) -> Option<Vec<u8>> {
    let (mut mended, mut begin, mut freed) = (Vec::with_capacity(minf.len()), minf.start, 0);
    for (name, held) in boxes(moov, minf.clone()) {
        let whole = &moov[begin..held.end];
        begin = held.end;
        match &name {
            b"dinf" if freed == 0 => freed = whole.len(),
            b"stbl" => {
                let size = u32::try_from(whole.len() + ALL_KEYS.len()).ok()?;
                mended.extend(size.to_be_bytes());
                mended.extend(whole.get(4..)?);
                mended.extend(ALL_KEYS);
            }
            _ => mended.extend(whole),
        }
    }
    let rest = freed.checked_sub(ALL_KEYS.len()).filter(|rest| *rest >= HEAD)?;
    mended.extend(u32::try_from(rest).ok()?.to_be_bytes());
    mended.extend(*b"free");
    mended.resize(mended.len() + rest - HEAD, 0);
    (begin == minf.end && mended.len() == minf.len()).then_some(mended)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(name: &[u8; 4], held: &[u8]) -> Vec<u8> {
        [&(held.len() as u32 + 8).to_be_bytes()[..], name, held].concat()
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// A track of 300 samples of `size` bytes in `runs` of chunks.
    fn minf(size: u32, runs: u32, keys: bool) -> Vec<u8> {
        let chunks: Vec<u32> =
            [0, runs].into_iter().chain((0..runs).flat_map(|run| [run + 1, 100, 1])).collect();
        let mut tables = [
            part(b"stts", &numbers(&[0, 1, 300, 1])),
            part(b"stsc", &numbers(&chunks)),
            part(b"stsz", &numbers(&[0, size, 300])),
        ]
        .concat();
        if keys {
            tables.extend(part(b"stss", &numbers(&[0, 0])));
        }
        [part(b"smhd", &[0; 8]), part(b"dinf", &[7; 28]), part(b"stbl", &tables)].concat()
    }

    #[test]
    fn only_sound_whose_gathering_would_break_off_is_told_to_have_key_frames() {
        for (size, runs, keys, mends) in
            [(3, 2, false, true), (0, 2, false, false), (3, 1, false, false), (3, 2, true, false)]
        {
            let before = minf(size, runs, keys);
            let mut after = before.clone();
            let whole = 0..after.len();
            assert_eq!(mend(&mut after, whole.clone()), mends, "{size} {runs} {keys}");
            assert_eq!(after == before, !mends);
            if mends {
                let table = find(&after, whole.clone(), &[b"stbl", b"stss"]).expect("it is there");
                assert_eq!(after[table], [0; 8]);
                let sizes = find(&after, whole.clone(), &[b"stbl", b"stsz"]).expect("they are there");
                assert_eq!(after[sizes], numbers(&[0, 3, 300]));
                assert!(!mend(&mut after, whole), "once");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(cut in 0usize..200, at in 0usize..200, byte in any::<u8>()) {
            let mut damaged = minf(3, 3, false);
            damaged.truncate(damaged.len().saturating_sub(cut));
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            let length = damaged.len();
            mend(&mut damaged, 0..length);
            prop_assert_eq!(damaged.len(), length);
        }
    }
}
