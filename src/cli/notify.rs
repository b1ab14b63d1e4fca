//! What the service manager is told, in the protocol of sd_notify(3): that the streams are watched, how they are, that the daemon is
//! alive, and that it stops.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use avicuna_pipeline::control::{Control, Phase, Status};
use avicuna_pipeline::stream::StreamState;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether there is something to tell.
const LOOK: Duration = Duration::from_secs(1);

/// The service manager's socket.
pub(super) struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
    /// How long the manager waits for a sign of life, where it does.
    watchdog: Option<Duration>,
    told: Option<Phase>,
    status: String,
}

impl Notifier {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say; `None` where nobody listens.
    pub(super) fn from_environment() -> anyhow::Result<Option<Self>> {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Ok(None);
        };
        let variable = |name| std::env::var(name).ok();
        let watchdog = watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"))?;
        let shown = address.to_string_lossy().into_owned();
        Self::new(&address, watchdog).with_context(|| format!("NOTIFY_SOCKET=\"{shown}\"")).map(Some)
    }

    fn new(address: &OsStr, watchdog: Option<Duration>) -> anyhow::Result<Self> {
        let manager = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => bail!("is no address; it begins with \"/\" or \"@\""),
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read holds up nothing: what was not told is told again.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager, watchdog, told: None, status: String::new() })
    }

    /// Tells how the daemon is until `over`, and at last that it stops.
    pub(super) async fn run(mut self, control: Arc<Control>, over: CancellationToken) {
        let mut ticks = tokio::time::interval(self.watchdog.map_or(LOOK, |limit| (limit / 2).min(LOOK)));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = over.cancelled() => break,
            }
            if let Err(error) = self.tell(&control.status) {
                tracing::debug!(%error, "the service manager was not told how it is");
            }
        }
        if let Err(error) = self.tell_phase(Phase::Stopping) {
            tracing::debug!(%error, "the service manager was not told that it stops");
        }
    }

    fn tell(&mut self, status: &Status) -> io::Result<()> {
        self.tell_phase(status.phase())?;
        let health = status.health();
        // A line end would begin another assignment.
        let words = health.reason.unwrap_or_else(|| in_words(status)).replace(['\n', '\r'], " ");
        if words != self.status {
            self.send(&format!("STATUS={words}"))?;
            self.status = words;
        }
        if self.watchdog.is_some() && health.healthy {
            self.send("WATCHDOG=1")?;
        }
        Ok(())
    }

    fn tell_phase(&mut self, phase: Phase) -> io::Result<()> {
        if self.told == Some(phase) {
            return Ok(());
        }
        match phase {
            Phase::Starting => {}
            Phase::Running => self.send("READY=1")?,
            Phase::Stopping => self.send("STOPPING=1")?,
        }
        self.told = Some(phase);
        Ok(())
    }

    fn send(&self, message: &str) -> io::Result<()> {
        self.socket.send_to_addr(message.as_bytes(), &self.manager).map(drop)
    }
}

/// How long the service manager waits for a sign of life of this process.
fn watchdog(limit: Option<String>, pid: Option<String>) -> anyhow::Result<Option<Duration>> {
    let Some(limit) = limit else { return Ok(None) };
    if pid.is_some_and(|pid| pid != std::process::id().to_string()) {
        return Ok(None);
    }
    match limit.parse() {
        Ok(limit) if limit > 1 => Ok(Some(Duration::from_micros(limit))),
        _ => bail!("WATCHDOG_USEC=\"{limit}\" is no number of microseconds above 1"),
    }
}

/// One line for `systemctl status`.
fn in_words(status: &Status) -> String {
    let readiness = status.readiness();
    let mut counts = BTreeMap::new();
    for state in readiness.streams.values() {
        let name = match state {
            StreamState::Watching { .. } => "watched",
            StreamState::Connecting => "connecting",
            StreamState::Lost { .. } => "lost",
            StreamState::Ended { .. } => "ended",
        };
        *counts.entry(name).or_insert(0) += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let streams = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    let reasons: String = readiness.reasons.iter().map(|reason| format!("; {reason}")).collect();
    format!("streams: {streams}{reasons}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use avicuna_pipeline::control::ModelState;

    fn manager(watchdog: Option<Duration>) -> (tempfile::TempDir, UnixDatagram, Notifier) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("it is bound");
        manager.set_nonblocking(true).expect("it is set");
        let notifier = Notifier::new(path.as_os_str(), watchdog).expect("an address");
        (folder, manager, notifier)
    }

    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut bytes = [0; 4096];
        let mut heard = Vec::new();
        while let Ok(count) = manager.recv(&mut bytes) {
            heard.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
        }
        heard
    }

    #[test]
    fn a_model_that_failed_gives_no_sign_of_life() {
        let (_folder, manager, mut notifier) = manager(Some(Duration::from_secs(30)));
        let control = Control::new();
        notifier.tell(&control.status).expect("told");
        let said = heard(&manager);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("STATUS=streams: none; the model is being loaded"), "{said:?}");
        assert_eq!(said[1], "WATCHDOG=1");

        control.status.model(ModelState::Idle);
        control.status.streams.state("yard", StreamState::Lost { reason: "away".into() });
        notifier.tell(&control.status).expect("told");
        let said = heard(&manager);
        assert_eq!((said.len(), said[0].as_str(), said[2].as_str()), (3, "READY=1", "WATCHDOG=1"));
        assert!(said[1].starts_with("STATUS=streams: 1 lost"), "{said:?}");

        control.status.model(ModelState::Failed("out of\nmemory".into()));
        control.status.stopping();
        notifier.tell(&control.status).expect("told");
        assert_eq!(heard(&manager), ["STOPPING=1", "STATUS=the model has failed: out of memory"]);
        notifier.tell(&control.status).expect("told");
        assert!(heard(&manager).is_empty());
    }

    #[test]
    fn what_was_not_told_is_told_again() {
        let (folder, socket, mut notifier) = manager(None);
        let control = Control::new();
        control.status.model(ModelState::Idle);
        drop(socket);
        assert!(notifier.tell(&control.status).is_err());
        let path = folder.path().join("notify");
        std::fs::remove_file(&path).expect("it was there");
        let socket = UnixDatagram::bind(&path).expect("it is bound");
        socket.set_nonblocking(true).expect("it is set");
        notifier.tell(&control.status).expect("told");
        assert_eq!(heard(&socket)[0], "READY=1");
    }

    #[test]
    fn the_watchdog_is_of_this_process() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(watchdog(None, None).expect("good"), None);
        let own = text(&std::process::id().to_string());
        assert_eq!(watchdog(text("3000000"), own).expect("good"), Some(Duration::from_secs(3)));
        assert_eq!(watchdog(text("3000000"), text("1")).expect("good"), None);
        for wrong in ["", "1", "-5", "30s"] {
            assert!(watchdog(text(wrong), None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_address_is_refused() {
        assert!(Notifier::new(OsStr::new("vsock:2:1234"), None).is_err());
    }
}
