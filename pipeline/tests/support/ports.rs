//! Ports of 127.0.0.1 that nobody else gets, from when they are chosen to the end of the test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, Socket, Type};

/// Where to look: below the ports that the system gives to whoever asks for none.
const FIRST: u16 = 20_000;
const COUNT: u32 = 12_000;

/// A port on which nobody listens, until a server is told to. It is bound all the time, so no other program gets it
/// meanwhile, and a server that died finds it free when it comes back. UDP ports are not bound: nobody else of us has the
/// number, and the system gives it to nobody.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _bound: Socket,
}

impl Port {
    /// One more.
    pub fn free() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut tries = (0..COUNT).filter_map(|_| {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let offset = (std::process::id() % 120 * 100 + step) % COUNT;
            Self::bind(FIRST + u16::try_from(offset).expect("below COUNT"))
        });
        tries.next().expect("a free port")
    }

    fn bind(number: u16) -> Option<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Fails where anybody has the port, be it only bound.
        bound.bind(&address.into()).ok()?;
        // From here on servers may listen on it, which say that they share addresses; all of ours do.
        bound.set_reuse_address(true).expect("a socket of ours");
        std::net::UdpSocket::bind(address).ok()?;
        Some(Self { number, _bound: bound })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:NUMBER`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}
