//! A fleet at a glance: who watches what, and what nobody watches.

use schemars::JsonSchema;
use serde::Serialize;

use super::record::{MemberRecord, ShareRecord};
use super::table::Table;
use crate::timeline::UtcTime;

/// A fleet at one moment, as its daemons tell it every few seconds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Overview {
    /// The consumer group.
    pub group: String,
    /// Into how many partitions its streams are shared out.
    pub partitions: i32,
    /// Partitions that no daemon says it has.
    pub unassigned: Vec<i32>,
    /// Daemons that were heard of lately.
    pub members: Vec<MemberRecord>,
    /// Every stream.
    pub streams: Vec<SharedStream>,
}

/// One stream of a fleet.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SharedStream {
    /// Its id.
    pub id: String,
    /// Where its settings stand, which says who watches it.
    pub partition: i32,
    /// Who watches it; null while nobody does.
    pub member: Option<String>,
    /// `connecting`, `watching`, `lost`, `ended`, `disabled`, `invalid`, `waiting` for a daemon.
    pub state: String,
    /// Why it is not watched, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds from the capture of its newest sample that was answered for until that was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<f64>,
}

impl Overview {
    /// Of what is known at `now`; a daemon that was not heard of for so many `seconds` is gone.
    pub(super) fn of(table: &Table, group: &str, partitions: i32, now: UtcTime, seconds: f64) -> Self {
        let members: Vec<MemberRecord> = table.members(now, seconds).into_iter().cloned().collect();
        let has = |partition: i32| members.iter().any(|member| member.partitions.contains(&partition));
        let streams = table.streams().iter().map(|(id, setting)| {
            let member = table.owner(setting.partition, now, seconds);
            let share = member.and_then(|member| member.streams.get(id));
            let (state, reason, lag) = match (&setting.config, share) {
                (Err(why), _) => ("invalid", Some(why.clone()), None),
                (Ok(config), _) if !config.enabled => ("disabled", None, None),
                (Ok(_), Some(ShareRecord { state, reason, lag })) => (state.as_str(), reason.clone(), *lag),
                (Ok(_), None) => ("waiting", None, None),
            };
            SharedStream {
                id: id.clone(),
                partition: setting.partition,
                member: member.map(|member| member.member.clone()),
                state: state.to_owned(),
                reason,
                lag,
            }
        });
        Self {
            group: group.to_owned(),
            partitions,
            unassigned: (0..partitions).filter(|partition| !has(*partition)).collect(),
            streams: streams.collect(),
            members,
        }
    }
}
