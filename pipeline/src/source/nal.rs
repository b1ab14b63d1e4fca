//! Which access units hold a picture that no other picture refers to, by their NAL unit headers (ITU-T H.264, 7.3.1; H.265, 7.3.1.2).
//! Pure.

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
}

/// Tells access units of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    codec: Codec,
    /// Bytes of the length before each NAL unit; `None`: start codes come between them.
    length: Option<usize>,
    /// The highest temporal sub-layer that was seen, of H.265.
    highest: u8,
}

/// What a slice says of the picture that it is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    /// Others refer to it, or may.
    Kept,
    Disposable,
}

impl Reader {
    /// Of NAL units with start codes between them, or with lengths of so many bytes before them.
    pub fn new(codec: Codec, length: Option<usize>) -> Self {
        Self { codec, length: length.filter(|length| (1..=4).contains(length)), highest: 0 }
    }

    /// Is the picture of this access unit one that no other refers to? No, if that cannot be told.
    pub fn is_disposable(&mut self, unit: &[u8]) -> bool {
        let mut slices = 0;
        for header in headers(unit, self.length) {
            match self.slice(header) {
                Some(Slice::Kept) => return false,
                Some(Slice::Disposable) => slices += 1,
                None => {}
            }
        }
        slices > 0
    }

    /// What a NAL unit says, if it is a slice.
    fn slice(&mut self, header: [u8; 2]) -> Option<Slice> {
        let is_disposable = match self.codec {
            // `nal_ref_idc`; partitions of slices (2 to 4) are of the extended profile and left alone.
            Codec::Avc => match header[0] & 0x1F {
                1 => header[0] & 0x60 == 0,
                2..=5 => false,
                _ => return None,
            },
            // Sub-layer non-reference pictures have even types up to RSV_VCL_N14; a higher sub-layer may refer to them nevertheless.
            Codec::Hevc => {
                let (kind, layer) = (header[0] >> 1 & 0x3F, (header[1] & 7).saturating_sub(1));
                if kind > 31 {
                    return None;
                }
                self.highest = self.highest.max(layer);
                kind < 15 && kind.is_multiple_of(2) && layer == self.highest
            }
        };
        Some(if is_disposable { Slice::Disposable } else { Slice::Kept })
    }
}

/// The first two bytes of each NAL unit, up to where the unit is damaged.
fn headers(unit: &[u8], length: Option<usize>) -> impl Iterator<Item = [u8; 2]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = match length {
            Some(length) => {
                let size =
                    unit.get(at..at + length)?.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
                let start = at + length;
                at = start.checked_add(size)?;
                start
            }
            None => {
                let code = unit.get(at..)?.windows(3).position(|bytes| bytes == [0, 0, 1])?;
                at += code + 3;
                at
            }
        };
        // One byte alone is no slice.
        unit.get(start..start + 2)?.first_chunk().copied()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Units with start codes, and with lengths of four bytes.
    fn both(units: &[&[u8]]) -> [(Option<usize>, Vec<u8>); 2] {
        let coded = units.iter().flat_map(|unit| [&[0, 0, 1], *unit].concat()).collect();
        let long =
            units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes(), *unit].concat()).collect();
        [(None, coded), (Some(4), long)]
    }

    fn disposable(codec: Codec, units: &[&[u8]]) -> bool {
        let told = both(units).map(|(length, unit)| Reader::new(codec, length).is_disposable(&unit));
        assert_eq!(told[0], told[1], "{units:?}");
        told[0]
    }

    #[test]
    fn a_picture_of_h264_says_itself_whether_others_refer_to_it() {
        let (delimiter, sei) = ([9, 0x10].as_slice(), [6, 5].as_slice());
        let (idr, reference, alone) =
            ([0x65, 0x88].as_slice(), [0x41, 0x9A].as_slice(), [0x01, 0x9E].as_slice());
        assert!(!disposable(Codec::Avc, &[delimiter, &[0x67, 0x42], &[0x68, 0xCE], idr]));
        assert!(!disposable(Codec::Avc, &[delimiter, reference]));
        assert!(disposable(Codec::Avc, &[delimiter, sei, alone, alone]));
        assert!(!disposable(Codec::Avc, &[alone, reference]), "a field may refer to the other one");
        assert!(!disposable(Codec::Avc, &[delimiter, sei]), "there is no picture");
        assert!(!disposable(Codec::Avc, &[&[0x02, 0x9E]]), "a partition");
    }

    #[test]
    fn a_picture_of_h265_is_left_out_from_the_highest_sub_layer_only() {
        let unit = |kind: u8, layer: u8| [kind << 1, layer + 1, 0xAF];
        let (trailing, reference, cra, parameters) = (unit(0, 0), unit(1, 0), unit(21, 0), unit(33, 0));
        assert!(disposable(Codec::Hevc, &[&trailing]));
        assert!(!disposable(Codec::Hevc, &[&reference]));
        assert!(!disposable(Codec::Hevc, &[&parameters, &cra]));
        let mut reader = Reader::new(Codec::Hevc, None);
        let mut is = |kind, layer| reader.is_disposable(&[&[0, 0, 1], unit(kind, layer).as_slice()].concat());
        assert!(is(0, 0), "there is no other sub-layer yet");
        assert!(is(2, 1));
        assert!(!is(0, 0), "the higher one may refer to it");
    }

    proptest! {
        #[test]
        fn anything_is_read(unit in prop::collection::vec(0u8..=255, 0..64), length in prop::option::of(0usize..6)) {
            for codec in [Codec::Avc, Codec::Hevc] {
                let _told = Reader::new(codec, length).is_disposable(&unit);
            }
        }
    }
}
