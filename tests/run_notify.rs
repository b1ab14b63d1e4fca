//! What the service manager hears of a daemon, on a socket of its own.

mod support;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use support::HANG;
use support::served::{Served, start_with};

const STREAM: &str =
    "[[stream]]\nid = \"yard\"\nuri = \"test://?width=64&height=64&fps=5&wave=ticks\"\nlive = true\n";

/// The messages that come to a socket, read as they come: few fit into its queue.
fn listen(socket: UnixDatagram) -> Receiver<String> {
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count) = socket.recv(&mut bytes) {
            if sender.send(String::from_utf8_lossy(&bytes[..count]).into_owned()).is_err() {
                break;
            }
        }
    });
    heard
}

/// Everything up to the message that begins with `last`.
fn until(manager: &Receiver<String>, last: &str) -> Vec<String> {
    let mut heard: Vec<String> = Vec::new();
    while heard.last().is_none_or(|message| !message.starts_with(last)) {
        heard.push(manager.recv_timeout(HANG).expect("the daemon says something"));
    }
    heard
}

fn daemon(socket: &str, watchdog: &str) -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    start_with(folder, STREAM, &[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", watchdog)])
}

#[test]
fn it_says_that_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = listen(UnixDatagram::bind(&path).expect("it is bound"));
    let mut served = daemon(path.to_str().expect("UTF-8"), "400000");
    let before = until(&manager, "READY=1");
    assert!(before[0].contains("the model is being loaded"), "{before:?}");
    assert_eq!(served.get("/readyz")["ready"], true, "ready for one is ready for the other");
    until(&manager, "STATUS=streams: 1 watched");

    // A manager that waits 0.4 s hears of it each 0.2 s.
    let started = Instant::now();
    for _ in 0..10 {
        until(&manager, "WATCHDOG=1");
    }
    assert!(started.elapsed() > Duration::from_secs(1), "{:?} for ten signs of life", started.elapsed());

    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    let rest = until(&manager, "STOPPING=1");
    assert!(!rest.contains(&"READY=1".to_owned()), "{rest:?}");
    let last: Vec<String> = manager.try_iter().collect();
    assert!(last.iter().all(|message| message == "WATCHDOG=1" || message.starts_with("STATUS=")), "{last:?}");
}

#[test]
fn an_abstract_socket_and_no_watchdog() {
    let name = format!("avicuna-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let manager = listen(UnixDatagram::bind_addr(&address).expect("it is bound"));
    let mut served = daemon(&format!("@{name}"), "soon");
    // What the manager asks wrongly of the watchdog is said, and the daemon watches all the same.
    served.until("it is ready", |served| served.call("GET", "/readyz", None).status == 200);
    let log = served.daemon.log();
    assert!(log.contains("WATCHDOG_USEC=\"soon\" is no number of microseconds"), "{log}");
    drop(served);

    let folder = tempfile::tempdir().expect("a folder");
    let mut served = start_with(folder, STREAM, &[("NOTIFY_SOCKET", &format!("@{name}"))]);
    let heard = until(&manager, "READY=1");
    assert!(served.daemon.terminate().success(), "{}", served.daemon.log());
    let heard = [heard, until(&manager, "STOPPING=1")].concat();
    assert!(!heard.iter().any(|message| message.starts_with("WATCHDOG")), "{heard:?}");
}
