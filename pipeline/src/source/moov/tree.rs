//! The boxes of an MP4 file (ISO/IEC 14496-12, 4.2). Pure.

use std::ops::Range;

/// Its name, and where what it holds is.
pub(super) type Part = ([u8; 4], Range<usize>);

/// Size and name of the box that `data` begins with; `None` while too little of it is there.
pub(super) fn header(data: &[u8]) -> Option<(u64, [u8; 4])> {
    let size = u32::from_be_bytes(*data.first_chunk()?);
    let name = *data.get(4..)?.first_chunk()?;
    let size = if size == 1 { u64::from_be_bytes(*data.get(8..)?.first_chunk()?) } else { u64::from(size) };
    Some((size, name))
}

/// What the boxes within `range` hold, and their names; ends at what is no box.
pub(super) fn boxes(data: &[u8], range: Range<usize>) -> impl Iterator<Item = Part> + '_ {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let rest = data.get(at..range.end)?;
        let (size, name) = header(rest)?;
        let head = if rest.first_chunk() == Some(&1u32.to_be_bytes()) { 16 } else { 8 };
        let size = usize::try_from(size).ok().filter(|size| (head..=rest.len()).contains(size))?;
        let held = at + head..at + size;
        at += size;
        Some((name, held))
    })
}

/// What the box at the end of `path` holds.
pub(super) fn find(data: &[u8], within: Range<usize>, path: &[&[u8; 4]]) -> Option<Range<usize>> {
    path.iter().try_fold(within, |within, name| {
        let mut found = boxes(data, within).filter(|(known, _)| known == *name);
        found.next().map(|(_, held)| held)
    })
}

/// A number of 32 or 64 bits.
pub(super) struct Field {
    pub at: usize,
    pub wide: bool,
}

impl Field {
    pub fn size(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    pub fn largest(&self) -> u64 {
        if self.wide { u64::MAX } else { u64::from(u32::MAX) }
    }

    pub fn read(&self, moov: &[u8]) -> Option<u64> {
        let bytes = moov.get(self.at..self.at + self.size())?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Of a field that was read before.
    pub fn get(&self, moov: &[u8]) -> u64 {
        self.read(moov).unwrap_or(0)
    }

    /// Of a field that was read before; what does not fit becomes the largest that is a time.
    pub fn set(&self, moov: &mut [u8], value: u64) {
        let value = value.min(self.largest() - 1);
        let bytes = value.to_be_bytes();
        if let Some(place) = moov.get_mut(self.at..self.at + self.size()) {
            place.copy_from_slice(&bytes[8 - place.len()..]);
        }
    }
}
