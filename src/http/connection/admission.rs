//! How many connections one listener keeps, in total and of one address.
//!
//! Asked once a connection. A place is given back when it is dropped, whatever happened to the
//! connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The places of one listener.
#[derive(Debug)]
pub struct Admission {
    total: usize,
    per_address: Option<usize>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    /// None for a Unix socket.
    address: Option<IpAddr>,
}

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Of all clients together.
    #[error("connections_max is reached")]
    Total,
    /// Of this address.
    #[error("connections_max_per_address is reached")]
    Address,
}

/// The part of an IPv6 address that one customer of a network gets: a /64.
const IPV6_NETWORK: u128 = !0 << 64;

// === impl Admission ===

impl Admission {
    /// At most `total` places, of which one address takes at most `per_address`.
    pub fn new(total: usize, per_address: Option<usize>) -> Arc<Admission> {
        Arc::new(Admission { total, per_address, taken: Mutex::default() })
    }

    /// A place for a client; one without an address (a Unix socket) counts in the total only.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Place, Full> {
        let address = client.map(network).filter(|_| self.per_address.is_some());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.total {
            return Err(Full::Total);
        }
        if let (Some(address), Some(most)) = (address, self.per_address) {
            let own = taken.by_address.entry(address).or_insert(0);
            if *own >= most {
                return Err(Full::Address);
            }
            *own += 1;
        }
        taken.all += 1;
        Ok(Place { admission: Arc::clone(self), address })
    }
}

/// Who has one address of such a network has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(own) = taken.by_address.get_mut(&address) {
            *own -= 1;
            // The table does not grow with the addresses that were seen.
            if *own == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn places_are_counted_in_total_and_for_each_address_and_come_back() {
        let admission = Admission::new(3, Some(2));
        let first = admission.enter(client("192.0.2.1")).unwrap();
        let second = admission.enter(client("::ffff:192.0.2.1")).unwrap();
        assert_eq!(admission.enter(client("192.0.2.1")).unwrap_err(), Full::Address);
        let other = admission.enter(client("192.0.2.2")).unwrap();
        assert_eq!(admission.enter(client("192.0.2.3")).unwrap_err(), Full::Total);
        drop(first);
        let again = admission.enter(client("192.0.2.1")).unwrap();
        drop((second, other, again));
        let taken = admission.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let admission = Admission::new(9, Some(1));
        let _one = admission.enter(client("2001:db8::1")).unwrap();
        assert_eq!(admission.enter(client("2001:db8::ffff:2")).unwrap_err(), Full::Address);
        let _other = admission.enter(client("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn a_unix_socket_has_no_address_and_no_cap_of_one() {
        let admission = Admission::new(2, Some(1));
        let _places = [admission.enter(None).unwrap(), admission.enter(None).unwrap()];
        assert_eq!(admission.enter(None).unwrap_err(), Full::Total);
        let uncapped = Admission::new(2, None);
        let _places =
            [uncapped.enter(client("::1")).unwrap(), uncapped.enter(client("::1")).unwrap()];
    }
}
