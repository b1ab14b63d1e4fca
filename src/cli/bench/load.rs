//! What a daemon and the processes of its sources take, by what the system says of them.

use std::collections::HashMap;
use std::fs;

/// Ticks of the system's clock a second, as `/proc` counts on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// What processes took.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Load {
    /// Processor seconds since they began.
    pub seconds: f64,
    /// Bytes of memory, what is shared divided among those who share it (PSS).
    pub bytes: u64,
}

/// What the daemon took, and what the processes that it started did, those that are over included.
pub(super) fn of(daemon: u32) -> Option<(Load, Load)> {
    let stat = Stat::of(daemon)?;
    let mut children = Load { seconds: stat.reaped, bytes: 0 };
    for pid in fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
    {
        if let Some(child) = Stat::of(pid).filter(|child| child.parent == daemon) {
            children.seconds += child.own + child.reaped;
            children.bytes += bytes(pid);
        }
    }
    Some((Load { seconds: stat.own, bytes: bytes(daemon) }, children))
}

fn bytes(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let fields: HashMap<&str, &str> = rollup.lines().filter_map(|line| line.split_once(':')).collect();
    let kib = fields.get("Pss").and_then(|pss| pss.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// `/proc/PID/stat`.
struct Stat {
    parent: u32,
    /// Seconds in user and system mode.
    own: f64,
    /// Those of children that are over.
    reaped: f64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in brackets may hold anything, brackets and blanks too.
    fn read(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
        let ticks = |from: usize| -> Option<f64> {
            Some(
                (fields.get(from)?.parse::<f64>().ok()? + fields.get(from + 1)?.parse::<f64>().ok()?) / TICKS,
            )
        };
        Some(Self { parent: fields.get(1)?.parse().ok()?, own: ticks(11)?, reaped: ticks(13)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let text = "7 (a) b) S 3 7 7 0 -1 4194304 5 0 0 0 150 50 20 30 20 0 1 0 99 4096 10";
        let stat = Stat::read(text).expect("it is whole");
        assert_eq!((stat.parent, stat.own, stat.reaped), (3, 2.0, 0.5));
        assert!(Stat::read("7 (a").is_none());
        let (own, _) = of(std::process::id()).expect("this one runs");
        assert!(own.bytes > 1 << 20);
    }
}
