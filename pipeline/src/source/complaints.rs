//! What GLib, GStreamer and its plugins complain of by themselves: it goes through our log, and is no flood.

use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use gstreamer::glib;

/// So many complaints are shown...
const SHOWN: u32 = 20;
/// ...in so long; the others are counted.
const SPAN: Duration = Duration::from_secs(60);

/// How many complaints are shown.
#[derive(Debug, Default)]
struct Gate {
    since: Option<Instant>,
    count: u32,
}

impl Gate {
    /// A complaint at `now`: whether it is shown, and how many before it were not.
    fn admit(&mut self, now: Instant) -> (bool, u32) {
        let mut kept = 0;
        if self.since.is_none_or(|since| now.duration_since(since) >= SPAN) {
            kept = self.count.saturating_sub(SHOWN);
            (self.since, self.count) = (Some(now), 0);
        }
        self.count = self.count.saturating_add(1);
        (self.count <= SHOWN, kept)
    }
}

/// Hears complaints from now on.
pub(super) fn hear() {
    static ONCE: Once = Once::new();
    static GATE: Mutex<Gate> = Mutex::new(Gate { since: None, count: 0 });
    ONCE.call_once(|| {
        glib::log_set_default_handler(|domain, level, message| {
            let (shown, kept) = GATE.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
            let domain = domain.unwrap_or("?");
            if kept > 0 {
                tracing::warn!(kept, "complaints of libraries were not shown");
            }
            match level {
                _ if !shown => {}
                glib::LogLevel::Error | glib::LogLevel::Critical | glib::LogLevel::Warning => {
                    tracing::warn!(domain, "{message}");
                }
                _ => tracing::debug!(domain, "{message}"),
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_shown() {
        let (mut gate, start) = (Gate::default(), Instant::now());
        let shown = (0..2471).filter(|_| gate.admit(start).0).count();
        assert_eq!(shown, 20);
        assert_eq!(gate.admit(start + SPAN), (true, 2451));
        assert_eq!(gate.admit(start + SPAN), (true, 0));
    }
}
