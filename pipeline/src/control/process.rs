//! What the system says of this process.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

/// Memory, threads and descriptors, read at every scrape; nothing where there is no `/proc`.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let descriptors = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
        let facts = [
            (
                "process_resident_memory_bytes",
                "Resident memory",
                field(&status, "VmRSS:").map(|kib| kib * 1024),
            ),
            ("process_threads", "Threads", field(&status, "Threads:")),
            ("process_open_fds", "Open file descriptors", descriptors),
        ];
        for (name, help, value) in facts {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
            }
        }
        Ok(())
    }
}

/// Takes as many descriptors as the system allows this process; how many that are.
pub fn descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Beyond a million nothing is gained, and some libraries close every one that there could be.
    let wanted = maximum.unwrap_or(1 << 20).min(1 << 20);
    let risen = Rlimit { current: Some(wanted), maximum };
    match current {
        Some(now) if now < wanted && setrlimit(Resource::Nofile, risen).is_err() => now,
        Some(now) => now.max(wanted),
        None => u64::MAX,
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
