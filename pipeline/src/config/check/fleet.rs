//! What must hold of `[fleet]`.

use std::time::Duration;

use super::Check;
use crate::config::{Config, SinkKind};

impl Check<'_> {
    pub(super) fn fleet(&mut self, config: &Config) {
        let fleet = &config.fleet;
        let Some(group) = &fleet.group else { return };
        self.ensure(
            !group.trim().is_empty(),
            "fleet.group",
            "must not be empty; leave it out where there is no fleet",
        );
        self.ensure(
            config.sink.kind == SinkKind::Kafka,
            "fleet.group",
            "the daemons of a fleet share their streams through Kafka: set sink.kind = \"kafka\"",
        );
        self.ensure(
            config.stream.is_empty(),
            "fleet.group",
            "the streams of a fleet are in Kafka, not in the file of one daemon: put them there with `avicuna fleet apply FILE`, and \
             take [[stream]] out",
        );
        self.ensure(fleet.partitions > 0, "fleet.partitions", "must be at least 1");
        let (least, most) = (Duration::from_secs(2), Duration::from_secs(300));
        self.ensure(
            (least..=most).contains(&fleet.session_timeout),
            "fleet.session_timeout",
            "must be from 2s to 5m; the brokers have limits of their own, 6s to 30m by default",
        );
        self.ensure(fleet.hand_over <= Duration::from_secs(120), "fleet.hand_over", "must be at most 2m");
        let names = [
            ("fleet.topics.streams", &fleet.topics.streams),
            ("fleet.topics.state", &fleet.topics.state),
            ("fleet.topics.members", &fleet.topics.members),
        ];
        let records = &config.sink.kafka.topics;
        let taken = [&records.events, &records.coverage, &records.errors];
        for (index, (field, name)) in names.into_iter().enumerate() {
            let twice = taken.contains(&name) || names[..index].iter().any(|(_, before)| *before == name);
            self.ensure(!twice, field, format!("\"{name}\" is another topic already; each needs its own"));
            self.ensure(!name.is_empty(), field, "must not be empty");
        }
    }
}
