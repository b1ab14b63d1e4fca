//! What the outbox says of its messages.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::outbox::{Outbox, reason};

/// Where all messages are, read at every scrape.
#[derive(Debug)]
pub(super) struct Books(pub Outbox);

impl Collector for Books {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let books = self.0.accounting();
        for (name, help, value) in [
            ("outbox_produced", "Records ever handed to the outbox", books.produced),
            ("outbox_acknowledged", "Records the sink has acknowledged", books.acknowledged),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let spooled = ConstGauge::new(books.spooled);
        let help = "Records that wait for delivery";
        spooled.encode(encoder.encode_descriptor("outbox_spooled", help, None, spooled.metric_type())?)?;
        let help = "Records given up, by reason";
        let mut dropped = encoder.encode_descriptor("outbox_dropped", help, None, MetricType::Counter)?;
        // An alert on a rise needs the value from which it rises.
        let others = books.dropped.keys().map(String::as_str).filter(|reason| !reason::ALL.contains(reason));
        for reason in reason::ALL.into_iter().chain(others) {
            let count = books.dropped.get(reason).copied().unwrap_or(0);
            ConstCounter::new(count).encode(dropped.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }
}
