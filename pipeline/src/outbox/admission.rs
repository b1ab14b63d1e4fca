//! By which rule messages get into the file.

use tokio::sync::oneshot;

use super::runs::Whole;
use super::store::{Change, size};
use super::{Appended, Message, OutboxError, WhenFull, reason};

/// Messages that want in.
pub(super) struct Append {
    pub messages: Vec<Message>,
    /// Runs that are over with them.
    pub whole: Vec<Whole>,
    pub reply: oneshot::Sender<Result<Appended, OutboxError>>,
    /// How many of the messages are dealt with.
    pub done: usize,
    pub outcome: Appended,
}

impl Append {
    /// Messages not dealt with.
    pub fn left(&self) -> u64 {
        (self.messages.len() - self.done) as u64
    }
}

/// The rule.
pub(super) struct Admission {
    pub max_bytes: u64,
    pub when_full: WhenFull,
    /// What waits for room goes on waiting.
    pub may_wait: bool,
}

impl Admission {
    /// Lets messages of `append` in until one has to wait; returns how many are dealt with and what became of them.
    pub fn admit(&self, change: &mut Change<'_>, append: &Append) -> Result<(usize, Appended), redb::Error> {
        let mut outcome = append.outcome;
        for (index, message) in append.messages.iter().enumerate().skip(append.done) {
            let size = size(message);
            if size > self.max_bytes {
                change.refuse(reason::LARGER_THAN_OUTBOX);
                outcome.dropped += 1;
                continue;
            }
            if change.bytes() + size > self.max_bytes && !self.makes_room(change, message)? {
                match self.when_full {
                    WhenFull::Block if self.may_wait => return Ok((index, outcome)),
                    WhenFull::Block => {
                        change.refuse(reason::FULL_AT_SHUTDOWN);
                        outcome.dropped += 1;
                        continue;
                    }
                    WhenFull::DropNew => {
                        change.refuse(reason::FULL_NEWEST);
                        outcome.dropped += 1;
                        continue;
                    }
                    WhenFull::DropOldest => {
                        while change.bytes() + size > self.max_bytes
                            && change.give_up_oldest(reason::FULL_OLDEST)?
                        {
                            outcome.dropped += 1;
                        }
                    }
                }
            }
            change.append(message)?;
            outcome.stored += 1;
        }
        Ok((append.messages.len(), outcome))
    }

    /// Whether a message gets in though there is no room. Where new ones are dropped, the last word of what consumers know
    /// would be lost with every start again while nothing is delivered; so it comes on top of the limit: one message for
    /// each subject that was open when the outbox was full, and no subject begins while it is.
    fn makes_room(&self, change: &Change<'_>, message: &Message) -> Result<bool, redb::Error> {
        let drops_new = match self.when_full {
            WhenFull::DropOldest => false,
            WhenFull::DropNew => true,
            WhenFull::Block => !self.may_wait,
        };
        Ok(drops_new && change.is_awaited(message)?)
    }
}
