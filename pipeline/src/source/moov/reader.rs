//! Finds the index in a file that comes in pieces.

use gstreamer as gst;

use super::{index, tree};

/// An index larger than this is let through as it is.
const LARGEST: u64 = 64 << 20;

/// Where a file that comes in pieces has been read to.
#[derive(Default)]
pub(super) struct Reader {
    /// Of the next piece in the file.
    at: u64,
    /// Of the next box at the top of the file.
    next: u64,
    /// What waits for the rest of the index, or of a box's header, and its first buffer.
    held: Option<(Vec<u8>, gst::Buffer)>,
    /// The index was seen, or there is none to be expected.
    done: bool,
}

/// What becomes of a piece.
pub(super) enum Step {
    /// This goes on.
    Pass(gst::Buffer),
    /// It is held, and comes with a later one.
    Hold,
}

impl Reader {
    /// The next piece is at `start`, which is where a box begins: demuxers do not ask for less.
    pub fn seek(&mut self, start: Option<u64>) {
        match start {
            Some(start) => (self.at, self.next) = (start, start),
            None => self.done = true,
        }
        self.held = None;
    }

    pub fn piece(&mut self, buffer: gst::Buffer) -> Step {
        self.at += buffer.size() as u64;
        if self.done || (self.held.is_none() && self.at <= self.next) {
            return Step::Pass(buffer);
        }
        let Ok(bytes) = buffer.map_readable() else { return Step::Pass(buffer) };
        let (mut data, first) = match self.held.take() {
            Some((mut held, first)) => {
                held.extend_from_slice(&bytes);
                (held, first)
            }
            None => (bytes.to_vec(), buffer.clone()),
        };
        let begins = self.at.saturating_sub(data.len() as u64);
        if self.wants_more(&mut data, begins) {
            self.held = Some((data, first));
            return Step::Hold;
        }
        Step::Pass(like(&first, data))
    }

    /// What is held when nothing more comes.
    pub fn finish(&mut self) -> Option<gst::Buffer> {
        self.done = true;
        self.held.take().map(|(data, first)| like(&first, data))
    }

    /// Follows the boxes in `data`, which begins at `begins`, and mends the index once it is whole.
    fn wants_more(&mut self, data: &mut [u8], begins: u64) -> bool {
        loop {
            let Some(box_at) = self.next.checked_sub(begins).filter(|at| *at < data.len() as u64) else {
                return false;
            };
            let rest = &mut data[box_at as usize..];
            let Some((size, name)) = tree::header(rest) else { return true };
            if name == *b"moov" && size <= LARGEST {
                let Some(whole) = rest.get_mut(..size as usize) else { return true };
                index::mend(whole);
            }
            // A box to the end of the file has size 0; what is smaller than its header is none.
            if name == *b"moov" || size < 8 {
                self.done = true;
                return false;
            }
            self.next = self.next.saturating_add(size);
        }
    }
}

/// A buffer of `data` that is otherwise as `first`, which it begins with.
fn like(first: &gst::Buffer, data: Vec<u8>) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(data);
    let made = buffer.make_mut();
    // Flags and time stamps can always be copied.
    let _copied = first.copy_into(made, gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS, ..);
    made.set_offset(first.offset());
    buffer
}
