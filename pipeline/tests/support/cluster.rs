//! Three brokers that are one cluster: two may be away for a moment, one for good.

use super::link::Link;
use super::{Broker, Port};

/// Sixteen bytes in URL-safe base64; two clusters never meet.
const CLUSTER: &str = "AvicunaFleetTests0000A";

/// Brokers with the number of copies that production has.
pub struct Cluster {
    nodes: Vec<Broker>,
    /// Where each listens for those who come over a link, and the link.
    far: Vec<(Port, Link)>,
}

impl Cluster {
    /// Starts all.
    pub fn start(count: usize) -> Self {
        let linked = |port: Port| {
            let link = Link::to(port.address());
            (port, link)
        };
        let far = (0..count).map(|_| linked(Port::free())).collect();
        let cluster = Self { nodes: (0..count).map(|_| Broker::place()).collect(), far };
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
        // Who comes over a link is told of the links to all the others.
        let (far, link) = &self.far[node];
        let [listeners, advertised] = self.nodes[node].listeners_with("FAR", far);
        let settings = [
            listeners,
            advertised.replace(&far.address(), link.address()),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT"
                .to_owned(),
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

    /// `host:port` of all, for somebody whose way to them can be cut.
    pub fn far_brokers(&self) -> String {
        self.far.iter().map(|(_, link)| link.address()).collect::<Vec<_>>().join(",")
    }

    /// Cuts the ways of those who use `far_brokers`, or mends them.
    pub fn set_cut(&self, is_cut: bool) {
        self.far.iter().for_each(|(_, link)| link.set_cut(is_cut));
    }

    /// Where one listens.
    pub fn port(&self, node: usize) -> &Port {
        &self.nodes[node].port
    }
}
