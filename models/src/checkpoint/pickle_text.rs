//! Lengths of texts in a pickle, checked before a parser takes them at their word.

/// Whether every text of `pickle` that is reached fits what is left of it.
///
/// Walks over the operations that torch's state dictionaries are made of, without carrying any out. An operation that is
/// unknown ends the walk: the parser stops there too.
pub(crate) fn texts_fit(pickle: &[u8]) -> bool {
    let mut rest = pickle;
    while let Some((&operation, after)) = rest.split_first() {
        let argument = match operation {
            // Two names, a line each.
            b'c' => match lines(after, 2) {
                Some(length) => length,
                None => return true,
            },
            b'X' => match after.first_chunk::<4>() {
                Some(length) => 4 + u32::from_le_bytes(*length) as usize,
                None => return true,
            },
            0x8a => 1 + usize::from(after.first().copied().unwrap_or(0)),
            b'G' => 8,
            b'J' | b'r' | b'j' => 4,
            b'M' => 2,
            0x80 | b'q' | b'h' | b'K' => 1,
            b')' | b'R' | b'(' | b't' | b'Q' | b'N' | b's' | b'u' | b'}' | b'd' | b'b' | b']' | b'a'
            | b'e' => 0,
            0x81 | 0x85..=0x89 => 0,
            // The end, or what the parser does not know either.
            _ => return true,
        };
        match after.get(argument..) {
            Some(behind) => rest = behind,
            None => return operation != b'X',
        }
    }
    true
}

/// Bytes of the first `count` lines with their ends.
fn lines(bytes: &[u8], count: usize) -> Option<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_claims_more_than_there_is_does_not_fit() {
        let pickle = |length: u32| {
            let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\x00)R(X".to_vec();
            bytes.extend(length.to_le_bytes());
            bytes.extend(b"name.");
            bytes
        };
        assert!(texts_fit(&pickle(4)));
        assert!(texts_fit(&pickle(5)));
        assert!(!texts_fit(&pickle(6)));
        assert!(!texts_fit(&pickle(u32::MAX)));
        assert!(texts_fit(b"") && texts_fit(b"c") && texts_fit(b"X") && texts_fit(b"J"));
    }
}
