//! A way to a server that can be cut, as a cable can: what is on it waits, no end hears of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Listens on 127.0.0.1 and passes what it gets on, and back, while it is whole. Lives as long as the test's process.
#[derive(Debug)]
pub struct Link {
    address: String,
    is_cut: Arc<AtomicBool>,
}

impl Link {
    /// A way to `target`, which is `host:port` and need not listen yet.
    pub fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = is_cut.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // Nobody listens: the caller hears of it as of a connection that is closed.
                let Ok(far) = TcpStream::connect(&target) else { continue };
                let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { continue };
                pass(near, far_too, cut.clone());
                pass(far, near_too, cut.clone());
            }
        });
        Self { address, is_cut }
    }

    /// `127.0.0.1:PORT`, where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Cuts it, or mends it: what waited goes on then, as what was sent again would.
    pub fn set_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

/// Passes on what one end sends until it closes, in a thread.
fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 16 << 10];
        loop {
            let count = from.read(&mut bytes).unwrap_or(0);
            while is_cut.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
            if count == 0 || to.write_all(&bytes[..count]).is_err() {
                let (_closed, _already) = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
                return;
            }
        }
    });
}
