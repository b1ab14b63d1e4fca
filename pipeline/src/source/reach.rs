//! Which machines a source may connect to. The address of a stream is judged by its name when it is added; where the stream leads to (a
//! redirect, a part of a playlist, another answer of the name service) is judged by the address that is connected to.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Hosts: names, addresses, networks as `10.0.0.0/8`, `*.example.org`, or `*` for all that are not this machine itself or its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reach {
    hosts: Vec<String>,
}

impl Reach {
    /// These.
    pub fn new(hosts: Vec<String>) -> Self {
        Self { hosts }
    }

    /// May a stream be at this host? Asks the name service, which may take a while.
    pub fn names(&self, host: &str) -> bool {
        let addresses = resolve(host);
        let every = self.hosts.iter().any(|allowed| allowed == "*");
        self.is_named(host)
            || (!addresses.is_empty() && addresses.iter().all(|address| self.covers(*address)))
            // It may be there later; what it is then is not known, so only its name can be allowed.
            || (every && addresses.is_empty() && !is_local(host))
    }

    /// May a stream that is at `own` lead to this address? Where no network says so, the names are looked up again.
    pub fn leads(&self, to: IpAddr, own: Option<&str>) -> bool {
        let plain = self.hosts.iter().map(String::as_str).filter(|host| !host.contains(['*', '/']));
        let own = own.filter(|own| self.is_named(own));
        self.covers(to) || plain.chain(own).any(|name| resolve(name).contains(&to.to_canonical()))
    }

    fn is_named(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| is_named(allowed, bare(host)))
    }

    /// Is the address, or a network that holds it, allowed?
    fn covers(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let covers = |allowed: &String| holds(allowed, address) || (allowed == "*" && !is_own(address));
        self.hosts.iter().any(covers)
    }
}

/// An address that a source was led to and not let through to, since it was last asked for.
static REFUSED: Mutex<Option<SocketAddr>> = Mutex::new(None);

/// Notes that the source of this process was not let through.
pub(super) fn refuse(address: SocketAddr) {
    *REFUSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
}

/// Where the source of this process was not let through.
pub(super) fn refused() -> Option<SocketAddr> {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn resolve(host: &str) -> Vec<IpAddr> {
    match bare(host).parse::<IpAddr>() {
        Ok(address) => vec![address.to_canonical()],
        Err(_) => (bare(host), 0)
            .to_socket_addrs()
            .map_or_else(|_| Vec::new(), |found| found.map(|address| address.ip().to_canonical()).collect()),
    }
}

/// Is the name itself allowed?
fn is_named(allowed: &str, host: &str) -> bool {
    match allowed.strip_prefix("*.") {
        Some(domain) => {
            let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
            host.strip_suffix(&domain).is_some_and(|before| before.ends_with('.'))
        }
        None => allowed.eq_ignore_ascii_case(host),
    }
}

fn holds(allowed: &str, address: IpAddr) -> bool {
    let (network, bits) = match allowed.split_once('/') {
        Some((network, bits)) => (network.parse::<IpAddr>(), bits.parse::<u32>().ok()),
        None => (allowed.parse(), None),
    };
    let Ok(network) = network else { return false };
    match (network.to_canonical(), address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same(network.to_bits().into(), address.to_bits().into(), 32, bits)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => same(network.to_bits(), address.to_bits(), 128, bits),
        _ => false,
    }
}

fn same(network: u128, address: u128, width: u32, bits: Option<u32>) -> bool {
    let bits = bits.unwrap_or(width).min(width);
    let shift = width - bits;
    shift == 128 || network >> shift == address >> shift
}

/// This machine, its link, and what names no machine.
fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local(),
    }
}

fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(hosts: &[&str], to: &str, own: Option<&str>) -> bool {
        let reach = Reach::new(hosts.iter().map(|host| (*host).to_owned()).collect());
        reach.leads(to.parse().expect("an address"), own)
    }

    #[test]
    fn a_stream_leads_to_what_is_allowed_and_not_to_this_machine() {
        for to in ["10.1.2.3", "8.8.8.8", "2001:db8::1"] {
            assert!(leads(&["*"], to, None), "{to}");
        }
        for to in ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0", "fe80::1"] {
            assert!(!leads(&["*"], to, None), "{to}");
        }
        assert!(leads(&["127.0.0.0/8"], "127.0.0.2", None) && !leads(&["127.0.0.1"], "127.0.0.2", None));
    }

    #[test]
    fn a_name_is_what_the_name_service_says_of_it() {
        assert!(leads(&["localhost"], "127.0.0.1", None));
        assert!(!leads(&["localhost"], "10.0.0.1", None));
        // Of names that a pattern allows only the stream's own is known.
        assert!(!leads(&["*.localhost"], "127.0.0.1", None));
        assert!(!leads(&["*.example.org"], "127.0.0.1", Some("localhost")));
    }
}
