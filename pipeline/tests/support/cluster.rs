//! Three brokers that are one cluster: two may be away for a moment, one for good.

use super::{Broker, Port};

/// Sixteen bytes in URL-safe base64; two clusters never meet.
const CLUSTER: &str = "AvicunaFleetTests0000A";

/// Brokers with the number of copies that production has.
pub struct Cluster {
    nodes: Vec<Broker>,
}

impl Cluster {
    /// Starts all.
    pub fn start(count: usize) -> Self {
        let cluster = Self { nodes: (0..count).map(|_| Broker::place()).collect() };
        std::thread::scope(|scope| {
            // None is up before most are.
            (0..count).for_each(|node| {
                drop(scope.spawn({
                    let cluster = &cluster;
                    move || cluster.start_node(node)
                }))
            });
        });
        cluster
    }

    /// Starts one, or starts it again with what it had.
    pub fn start_node(&self, node: usize) {
        let voters = self
            .nodes
            .iter()
            .zip(1..)
            .map(|(broker, id)| format!("{id}@{}", broker.controller_port.address()));
        let copies = self.nodes.len();
        let settings = [
            format!("node.id={}", node + 1),
            format!("controller.quorum.voters={}", voters.collect::<Vec<_>>().join(",")),
            format!("default.replication.factor={copies}"),
            format!("min.insync.replicas={}", copies / 2 + 1),
            format!("offsets.topic.replication.factor={copies}"),
            format!("transaction.state.log.replication.factor={copies}"),
            format!("transaction.state.log.min.isr={}", copies / 2 + 1),
            "transaction.state.log.num.partitions=3".to_owned(),
            "broker.session.timeout.ms=3000".to_owned(),
            "broker.heartbeat.interval.ms=500".to_owned(),
        ];
        self.nodes[node].start_in(Some(CLUSTER), &settings);
    }

    /// One of them.
    pub fn node(&self, node: usize) -> &Broker {
        &self.nodes[node]
    }

    /// `host:port` of all.
    pub fn brokers(&self) -> String {
        self.nodes.iter().map(Broker::brokers).collect::<Vec<_>>().join(",")
    }

    /// Where one listens.
    pub fn port(&self, node: usize) -> &Port {
        &self.nodes[node].port
    }
}
