//! Which addresses a download may connect to: public ones, and those that the operator names. PURE.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// `download_allowed_networks`: networks that may be connected to although they are not public.
#[derive(Clone, Debug, Default)]
pub struct AllowedNetworks(Vec<IpNet>);

/// Why an address is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// This machine.
    Loopback,
    /// Of an organisation.
    Private,
    /// Of one cable; the metadata services of clouds are here.
    LinkLocal,
    /// Behind a provider's translation.
    Shared,
    /// To many.
    Multicast,
    /// None, for documents, for tests, or for later.
    Reserved,
}

// === impl AllowedNetworks ===

impl AllowedNetworks {
    /// Reads addresses and networks (`10.0.0.0/8`) between commas.
    ///
    /// # Errors
    /// What was expected, and what stands there.
    pub fn parse(list: &str) -> Result<AllowedNetworks, String> {
        let network = |part: &str| {
            let address = || part.parse::<IpAddr>().map(IpNet::from).ok();
            part.parse::<IpNet>().ok().or_else(address).ok_or_else(|| {
                format!(
                    "addresses and networks between commas, such as 10.0.0.0/8; {part:?} is none"
                )
            })
        };
        let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(network).collect::<Result<_, _>>().map(AllowedNetworks)
    }

    /// Whether this address may be connected to.
    ///
    /// # Errors
    /// What is against it.
    pub(super) fn vet(&self, address: IpAddr) -> Result<(), AddressClass> {
        let address = plain(address);
        if self.0.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
        .map_or(Ok(()), Err)
    }
}

/// The IPv4 address that an IPv6 one stands for, so that a spelling does not matter: mapped,
/// compatible, translated (64:ff9b::/96) and 6to4.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if !v6.is_loopback() && !v6.is_unspecified() => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => address,
    }
}

fn of_v4(address: Ipv4Addr) -> Option<AddressClass> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Some(AddressClass::Loopback),
        // "This machine", as Linux reads it.
        (0, ..) => Some(AddressClass::Loopback),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some(AddressClass::Private),
        (169, 254, _) => Some(AddressClass::LinkLocal),
        (100, 64..=127, _) => Some(AddressClass::Shared),
        (224..=239, ..) => Some(AddressClass::Multicast),
        (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) | (240..=255, ..) => {
            Some(AddressClass::Reserved)
        }
        // Relays of 6to4, which are no more.
        (192, 88, 99) => Some(AddressClass::Reserved),
        _ => None,
    }
}

fn of_v6(address: Ipv6Addr) -> Option<AddressClass> {
    let [a, b, ..] = address.segments();
    match (a, b) {
        _ if address.is_loopback() || address.is_unspecified() => Some(AddressClass::Loopback),
        (0xfc00..=0xfdff, _) => Some(AddressClass::Private),
        (0xfe80..=0xfebf, _) => Some(AddressClass::LinkLocal),
        (0xfec0..=0xfeff, _) => Some(AddressClass::Private),
        (0xff00..=0xffff, _) => Some(AddressClass::Multicast),
        // Teredo, ORCHID, benchmarks, documents: 2001::/23 and 2001:db8::/32; 3fff::/20.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => Some(AddressClass::Reserved),
        // Of all others only this block is given out.
        (0x2000..=0x3fff, _) => None,
        _ => Some(AddressClass::Reserved),
    }
}

// === impl AddressClass ===

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressClass::Loopback => "loopback",
            AddressClass::Private => "private",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Shared => "shared",
            AddressClass::Multicast => "multicast",
            AddressClass::Reserved => "reserved",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AddressClass::{LinkLocal, Loopback, Multicast, Private, Reserved, Shared};

    #[test]
    fn only_public_addresses_pass_however_they_are_written() {
        let none = AllowedNetworks::default();
        for (address, class) in [
            ("127.0.0.1", Loopback),
            ("127.255.0.9", Loopback),
            ("0.0.0.0", Loopback),
            ("0.1.2.3", Loopback),
            ("10.1.2.3", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.0.1", Private),
            ("169.254.169.254", LinkLocal),
            ("100.64.0.1", Shared),
            ("224.0.0.1", Multicast),
            ("192.0.0.8", Reserved),
            ("192.0.2.1", Reserved),
            ("198.18.0.1", Reserved),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("::1", Loopback),
            ("::", Loopback),
            ("::127.0.0.1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:169.254.169.254", LinkLocal),
            ("64:ff9b::a9fe:a9fe", LinkLocal),
            ("64:ff9b:1::1", Reserved),
            ("2002:7f00:1::", Loopback),
            ("2002:c0a8:101::1", Private),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Reserved),
            ("2001:db8::1", Reserved),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("fc00::1", Private),
            ("fd00:ec2::254", Private),
            ("ff02::1", Multicast),
            ("100::1", Reserved),
            ("4000::1", Reserved),
        ] {
            assert_eq!(none.vet(address.parse().unwrap()), Err(class), "{address}");
        }
        for address in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(none.vet(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    #[test]
    fn named_networks_pass_and_nothing_beside_them() {
        let some = AllowedNetworks::parse(" 10.1.0.0/16, 127.0.0.1,fd00::/8 ").unwrap();
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "fd12::1"] {
            assert_eq!(some.vet(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["10.2.0.1", "127.0.0.2", "169.254.169.254", "::1", "fc00::1"] {
            assert!(some.vet(address.parse().unwrap()).is_err(), "{address}");
        }
        for list in ["10.0.0.0/33", "localhost", "10.0.0", "*"] {
            assert!(AllowedNetworks::parse(list).unwrap_err().contains(list), "{list}");
        }
    }
}
