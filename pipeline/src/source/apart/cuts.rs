//! Clips that are wanted of a source whose process cuts them: at the stream's times outside, at the child's own inside.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use super::wire::Order;
use crate::source::cut::{Cut, CutOrder, Made, MadeClip};
use crate::timeline::StreamTime;

/// Why there is no clip of a process that is gone.
const GONE: &str = "the source's process ended, and with it what it kept";

type Reply = oneshot::Sender<Result<Made, String>>;

/// Orders on their way to the present child.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    orders: Option<mpsc::Receiver<CutOrder>>,
    next: u64,
    /// By their number, with the child's offset.
    waiting: HashMap<u64, (Reply, i64)>,
}

impl Cuts {
    pub fn new(orders: Option<mpsc::Receiver<CutOrder>>) -> Self {
        Self { orders, ..Self::default() }
    }

    /// The next order; never, when there will be none.
    pub async fn next(&mut self) -> CutOrder {
        if let Some(orders) = &mut self.orders {
            if let Some(order) = orders.recv().await {
                return order;
            }
            self.orders = None;
        }
        std::future::pending().await
    }

    /// Will nothing be ordered any more?
    pub fn is_over(&self) -> bool {
        self.orders.as_ref().is_none_or(|orders| orders.is_closed() && orders.is_empty())
    }

    /// Is nothing waited for?
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// As the present child, whose times are `offset` behind the stream's, is to be told.
    pub fn order(&mut self, (cut, reply): CutOrder, offset: i64) -> Order {
        let at = |time: StreamTime| StreamTime(time.0.saturating_sub(offset));
        let cut = Cut { from: at(cut.from), to: at(cut.to), surest: at(cut.surest), ..cut };
        self.next += 1;
        self.waiting.insert(self.next, (reply, offset));
        Order::Cut { id: self.next, cut }
    }

    /// A child answers.
    pub fn made(&mut self, id: u64, result: Result<Made, String>) {
        let Some((reply, offset)) = self.waiting.remove(&id) else { return };
        let seconds = |at: f64| at + offset as f64 / 1e9;
        let moved = result.map(|made| Made {
            clip: made.clip.map(|clip| MadeClip { from: seconds(clip.from), to: seconds(clip.to), ..clip }),
            snapshot: made.snapshot.map(seconds),
            ..made
        });
        // Who gave up waiting needs no answer.
        let _gone = reply.send(moved);
    }

    /// There is no child that could cut it.
    pub fn refuse((_, reply): CutOrder) {
        let _gone = reply.send(Err(GONE.to_owned()));
    }

    /// The present child is gone, and all that it kept.
    pub fn lost(&mut self) {
        for (_, (reply, _)) in self.waiting.drain() {
            let _gone = reply.send(Err(GONE.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_is_told_its_own_times_and_answers_in_the_streams() {
        let (sender, orders) = mpsc::channel(1);
        let mut cuts = Cuts::new(Some(orders));
        let second = |second: i64| StreamTime(second * 1_000_000_000);
        let cut = Cut { from: second(10), to: second(20), surest: second(15), folder: "x".into() };
        let (reply, answer) = oneshot::channel();
        sender.send((cut.clone(), reply)).await.expect("it is heard");
        let order = cuts.next().await;
        let Order::Cut { id, cut: told } = cuts.order(order, 8_000_000_000) else { panic!("no cut") };
        assert_eq!((told.from, told.to, told.surest), (second(2), second(12), second(7)));
        cuts.made(id, Ok(Made { snapshot: Some(7.5), ..Made::default() }));
        assert_eq!(answer.await.expect("an answer").expect("it was made").snapshot, Some(15.5));
        assert!(cuts.is_idle() && !cuts.is_over());

        let (reply, answer) = oneshot::channel();
        sender.send((cut, reply)).await.expect("it is heard");
        let order = cuts.next().await;
        cuts.order(order, 0);
        cuts.lost();
        assert_eq!(answer.await.expect("an answer"), Err(GONE.to_owned()));
        drop(sender);
        assert!(cuts.is_over());
    }
}
