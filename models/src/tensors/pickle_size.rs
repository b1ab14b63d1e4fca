//! What a pickle claims, checked before a parser takes it at its word.
//!
//! The parser makes its objects as the pickle says: texts of any length, tuples in tuples until no stack is deep enough to free
//! them, copies of copies until no memory is left. This walks over the same operations, carries none out and keeps of every
//! object only how deep and how large it would be.

use std::collections::HashMap;

/// Objects inside each other. A state dictionary in a checkpoint needs about ten.
const DEEPEST: u32 = 64;
/// Bytes of all objects that are made, copies included. A checkpoint of ten thousand tensors needs about a fifth.
const LARGEST: u64 = 256 << 20;
/// Bytes of an object without its texts and parts.
const OBJECT: u64 = 64;

/// What an object would be.
#[derive(Clone, Copy)]
struct Size {
    depth: u32,
    bytes: u64,
}

/// What is wrong with `pickle`, if anything is.
///
/// Knows the operations that torch's state dictionaries are made of. Where one is unknown or lacks its operands the walk ends:
/// the parser stops there too.
pub(crate) fn excess(pickle: &[u8]) -> Option<&'static str> {
    let mut walk = Walk::default();
    let mut rest = pickle;
    while let Some((&operation, after)) = rest.split_first() {
        let argument = argument(operation, after)?;
        let Some(behind) = after.get(argument..) else {
            let text = operation == b'X';
            return text.then_some("a text in it is longer than what is left of the file");
        };
        walk.step(operation, &after[..argument])?;
        if walk.deepest > DEEPEST {
            return Some("its objects lie in each other deeper than any model's");
        }
        if walk.total > LARGEST {
            return Some("its objects would take more memory than any model's");
        }
        rest = behind;
    }
    None
}

/// Bytes of an operation's argument; `None` for the end, an unknown operation or one that is cut off.
fn argument(operation: u8, after: &[u8]) -> Option<usize> {
    Some(match operation {
        // Two names, a line each.
        b'c' => lines(after, 2)?,
        b'X' => 4 + u32::from_le_bytes(*after.first_chunk::<4>()?) as usize,
        0x8a => 1 + usize::from(after.first().copied().unwrap_or(0)),
        b'G' => 8,
        b'J' | b'r' | b'j' => 4,
        b'M' => 2,
        0x80 | b'q' | b'h' | b'K' => 1,
        b')' | b'R' | b'(' | b't' | b'Q' | b'N' | b's' | b'u' | b'}' | b'd' | b'b' | b']' | b'a' | b'e' => 0,
        0x81 | 0x85..=0x89 => 0,
        _ => return None,
    })
}

/// Bytes of the first `count` lines with their ends.
fn lines(bytes: &[u8], count: usize) -> Option<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(count - 1)
}

/// The parser's stack and memory, as sizes.
#[derive(Default)]
struct Walk {
    /// `None` is a mark.
    stack: Vec<Option<Size>>,
    memo: HashMap<u32, Size>,
    total: u64,
    deepest: u32,
}

impl Walk {
    /// One operation; `None` where it lacks its operands.
    fn step(&mut self, operation: u8, argument: &[u8]) -> Option<()> {
        match operation {
            0x80 => {}
            b'(' => {
                self.stack.push(None);
                self.total += OBJECT;
            }
            b'q' | b'h' => self.remember(operation == b'q', u32::from(argument[0]))?,
            b'r' | b'j' => self.remember(operation == b'r', u32::from_le_bytes(*argument.first_chunk()?))?,
            // Everything else with an argument is an object without parts, as are the empty containers and constants.
            b'c' | b'X' | 0x8a | b'G' | b'J' | b'M' | b'K' | b')' | b']' | b'}' | b'N' | 0x88 | 0x89 => {
                let bytes = OBJECT + argument.len() as u64;
                self.push(Size { depth: 1, bytes });
                self.total += bytes;
            }
            b'Q' | 0x85 => self.join(1)?,
            b'R' | b'b' | 0x81 | 0x86 => self.join(2)?,
            0x87 => self.join(3)?,
            b't' | b'd' => {
                let count = self.marked()?;
                self.join(count)?;
                self.stack.swap_remove(self.stack.len().checked_sub(2)?);
            }
            b'a' => self.put_in(1)?,
            b's' => self.put_in(2)?,
            b'e' | b'u' => {
                let count = self.marked()?;
                let mark = self.stack.len() - count - 1;
                self.stack.remove(mark);
                self.put_in(count)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn push(&mut self, size: Size) {
        self.deepest = self.deepest.max(size.depth);
        self.stack.push(Some(size));
    }

    /// Copies what is on top to the memory, or from the memory to the top.
    fn remember(&mut self, put: bool, id: u32) -> Option<()> {
        let size = if put { self.stack.last()?.unwrap_or(MARK) } else { *self.memo.get(&id)? };
        self.total = self.total.saturating_add(size.bytes);
        if put {
            self.memo.insert(id, size);
        } else {
            self.push(size);
        }
        Some(())
    }

    /// Makes one object of the `count` on top.
    fn join(&mut self, count: usize) -> Option<()> {
        let parts = self.take(count)?;
        self.total += OBJECT;
        self.push(Size { depth: 1 + parts.depth, bytes: OBJECT.saturating_add(parts.bytes) });
        Some(())
    }

    /// Puts the `count` objects on top into the container below them.
    fn put_in(&mut self, count: usize) -> Option<()> {
        let parts = self.take(count)?;
        let container = self.stack.pop()?.unwrap_or(MARK);
        let depth = container.depth.max(1 + parts.depth);
        self.push(Size { depth, bytes: container.bytes.saturating_add(parts.bytes) });
        Some(())
    }

    /// Takes `count` objects off; the depth of the deepest and the bytes of all.
    fn take(&mut self, count: usize) -> Option<Size> {
        let start = self.stack.len().checked_sub(count)?;
        let parts = self.stack.drain(start..).map(|size| size.unwrap_or(MARK));
        Some(parts.fold(Size { depth: 0, bytes: 0 }, |all, part| Size {
            depth: all.depth.max(part.depth),
            bytes: all.bytes.saturating_add(part.bytes),
        }))
    }

    /// Objects above the last mark.
    fn marked(&self) -> Option<usize> {
        self.stack.iter().rev().position(Option::is_none)
    }
}

/// A mark that is taken for an object.
const MARK: Size = Size { depth: 1, bytes: OBJECT };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_claims_more_than_there_is_is_noticed() {
        let pickle = |length: u32| {
            let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\x00)R(X".to_vec();
            bytes.extend(length.to_le_bytes());
            bytes.extend(b"name.");
            bytes
        };
        assert_eq!(excess(&pickle(4)), None);
        assert_eq!(excess(&pickle(5)), None);
        assert!(excess(&pickle(6)).is_some_and(|what| what.contains("text")));
        assert!(excess(&pickle(u32::MAX)).is_some());
        for cut in [&b""[..], b"c", b"X", b"J", b"t", b"\x86", b"h\x07", b"R", b"s", b"e"] {
            assert_eq!(excess(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn objects_in_objects_end_somewhere() {
        // Each of these makes one object more around the last: tuples, pairs, lists in lists, calls.
        for again in [&b"\x85"[..], b"N\x86", b"NN\x87", b"Q", b"NR", b"Nb"] {
            let mut pickle = b")".to_vec();
            pickle.extend(again.repeat(100));
            assert!(excess(&pickle).is_some_and(|what| what.contains("deeper")), "{again:?}");
            assert_eq!(excess(&pickle[..1 + 50 * again.len()]), None, "{again:?}");
        }
        let mut lists = b"]".repeat(100);
        lists.extend(b"a".repeat(99));
        assert!(excess(&lists).is_some_and(|what| what.contains("deeper")));
        let mut marked = b"](".repeat(100);
        marked.extend(b"e".repeat(99));
        assert!(excess(&marked).is_some_and(|what| what.contains("deeper")));
        let mut tuples = b"(".repeat(100);
        tuples.extend(b"t".repeat(100));
        assert!(excess(&tuples).is_some_and(|what| what.contains("deeper")));
    }

    #[test]
    fn copies_of_copies_end_somewhere() {
        // Pairs of one object twice: 2 to the 40 objects from 240 bytes.
        let mut pickle = b")q\x00".to_vec();
        for _ in 0..40 {
            pickle.extend(b"h\x00h\x00\x86q\x00");
        }
        assert!(excess(&pickle).is_some_and(|what| what.contains("memory")));
    }

    #[test]
    fn tuples_take_their_mark_away() {
        // What is below the mark stays where it is.
        let mut walk = Walk::default();
        for operation in *b"N(NNt" {
            assert!(walk.step(operation, &[]).is_some());
        }
        let depths: Vec<Option<u32>> = walk.stack.iter().map(|size| size.map(|size| size.depth)).collect();
        assert_eq!(depths, [Some(1), Some(2)]);
    }
}
