//! Who watches what, where several daemons share their streams: nobody but the brokers decides it.
//!
//! ```text
//! avicuna.streams  settings by stream, compacted; its partitions are the shares that a consumer group hands out
//! avicuna.state    checkpoints by stream, compacted; partition by partition beside it
//! avicuna.members  one record for each daemon
//! ```
//!
//! Who is assigned a partition of `avicuna.streams` watches the streams whose settings are in it. Their records and the
//! checkpoint that they follow from are committed in one transaction, whose id is the partition's: who takes a partition
//! over fences whoever had it, reads the checkpoints that were committed until then, and goes on from them. So nothing is
//! told that a checkpoint does not know of, and a daemon that was left behind cannot tell anything. `docs/scale.md` says
//! it in words, and what it costs.

mod client;
mod desk;
mod error;
mod follow;
mod lane;
mod load;
mod member;
mod overview;
mod record;
mod table;
mod topics;

pub use desk::Desk;
pub(crate) use desk::HEARTBEAT;
pub use error::FleetError;
pub(crate) use lane::{Lane, LaneEvent, Opened, Seen};
pub(crate) use member::{Member, Share};
pub use overview::{Overview, SharedStream};
pub(crate) use record::{Kept, digest};
pub use record::{MemberRecord, ShareRecord};
pub use table::{Setting, Table, View};
