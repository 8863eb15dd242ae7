//! Endpoints that are given as host names: which addresses they have now, and in which seat of their pools each of them stands.
//! It never resolves a name: whoever does tells it; what is not known keeps what was known last.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::monitor::tls::Tls;
use super::monitor::{Monitor, Request};
use super::view::Layout;

/// Addresses of one host and family that are used: as many as one answer holds. What a name has beyond them is left out.
pub const MAX_HOST_ADDRESSES: usize = 8;

/// Longest host name, without the final dot (RFC 1035 2.3.4).
pub const MAX_HOST_NAME: usize = 253;

/// A host name in lower case, without the final dot.
pub type HostName = Arc<str>;

/// A place in a pool for one address of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Whose address.
    pub host: HostName,
    /// Of which family.
    pub ipv6: bool,
    /// Which of the host's addresses, under [`MAX_HOST_ADDRESSES`].
    pub number: usize,
    /// How each address is probed.
    pub monitors: Arc<[Monitor]>,
    /// Who sits there: the address and its identity for rendezvous hashing. None while the seat is vacant.
    pub taken: Option<(IpAddr, u64)>,
}

/// What one resolution of a host brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolution {
    /// IPv4 and IPv6 addresses; none where nothing was learned of the family, so that the last ones stay.
    pub addresses: [Option<Vec<IpAddr>>; 2],
    /// When it will be resolved again, in seconds.
    pub next_s: u32,
    /// What went wrong.
    pub error: Option<Box<str>>,
}

/// What is known of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Who sits where, IPv4 and IPv6.
    seats: [Vec<Option<IpAddr>>; 2],
    /// When it was last asked for, in milliseconds of the caller's clock, and what came; none before the first time.
    pub last: Option<(u64, Resolution)>,
}

impl Host {
    /// Its addresses, IPv4 first, in the order of their seats.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.seats.iter().flatten().flatten().copied()
    }

    /// Takes new addresses of a family: who stays keeps the seat, the others take what is vacant, in ascending order.
    fn seat(&mut self, family: usize, found: &[IpAddr]) {
        let usable = |address: &IpAddr| usize::from(address.is_ipv6()) == family && !address.is_unspecified() && !address.is_multicast();
        let found: BTreeSet<IpAddr> = found.iter().copied().filter(usable).collect();
        let seats = &mut self.seats[family];
        seats.resize(MAX_HOST_ADDRESSES, None);
        seats.iter_mut().for_each(|seat| *seat = seat.filter(|address| found.contains(address)));
        let mut new = found.into_iter().filter(|address| !seats.contains(&Some(*address))).collect::<Vec<_>>().into_iter();
        seats.iter_mut().filter(|seat| seat.is_none()).for_each(|seat| *seat = new.next());
    }
}

/// All hosts of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(BTreeMap<HostName, Host>);

impl Hosts {
    /// Takes what was resolved; true if the addresses in use changed.
    pub fn take(&mut self, host: &HostName, resolution: Resolution, now_ms: u64) -> bool {
        let known = self.0.entry(Arc::clone(host)).or_default();
        let before = known.seats.clone();
        for (family, found) in resolution.addresses.iter().enumerate() {
            if let Some(found) = found {
                known.seat(family, found);
            }
        }
        let changed = !before.iter().flatten().flatten().eq(known.seats.iter().flatten().flatten());
        known.last = Some((now_ms, resolution));
        changed
    }

    /// Takes addresses over that were saved by an earlier process.
    pub fn restore(&mut self, host: &HostName, addresses: &[IpAddr]) {
        let known = self.0.entry(Arc::clone(host)).or_default();
        (0..known.seats.len()).for_each(|family| known.seat(family, addresses));
    }

    /// Forgets hosts that `layout` does not name.
    pub fn retain_of(&mut self, layout: &Layout) {
        let named = layout.hosts();
        self.0.retain(|host, _| named.contains(host));
    }

    /// What is known of a host.
    pub fn host(&self, host: &str) -> Option<&Host> {
        self.0.get(host)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&HostName, &Host)> {
        self.0.iter()
    }

    fn sitting(&self, seat: &Seat) -> Option<IpAddr> {
        *self.0.get(&seat.host)?.seats[usize::from(seat.ipv6)].get(seat.number)?
    }
}

impl Monitor {
    /// The monitor for the addresses of a host: where it names no host or server name of its own, it asks for this one.
    pub fn of_host(&self, host: &str) -> Monitor {
        let mut monitor = self.clone();
        let name_tls = |tls: &mut Tls| _ = tls.sni.get_or_insert_with(|| host.into());
        match &mut monitor.request {
            Request::Http(request) => {
                if request.host.is_none() {
                    let usual = if request.tls.is_some() { 443 } else { 80 };
                    let shown = if self.port == usual { host.to_owned() } else { format!("{host}:{}", self.port) };
                    request.host = Some(shown.into());
                }
                request.tls.iter_mut().for_each(name_tls);
            }
            Request::Tls(request) => name_tls(&mut request.tls),
            Request::Grpc(request) => request.tls.iter_mut().for_each(name_tls),
            Request::Tcp | Request::Dns(_) | Request::Icmp | Request::Exec(_) => {}
        }
        monitor
    }
}

impl Layout {
    /// Every host that an endpoint is given as.
    pub fn hosts(&self) -> BTreeSet<HostName> {
        self.endpoints.iter().filter_map(|endpoint| Some(Arc::clone(&endpoint.seat.as_ref()?.host))).collect()
    }

    /// The layout with the addresses of its hosts, each with its monitors. An address that stands in a pool already, by itself or by
    /// another host, is not taken twice (BEHAVIOUR P6): `fixed` gives those of the other endpoints, `identity` is what hashes use.
    pub fn seated(&self, hosts: &Hosts, fixed: impl Fn(u32) -> Option<IpAddr>, identity: impl Fn(IpAddr) -> u64) -> Layout {
        let mut layout = self.clone();
        for pool in &self.pools {
            let mut present: BTreeSet<IpAddr> = pool.endpoints.clone().filter_map(&fixed).collect();
            for id in pool.endpoints.clone() {
                let endpoint = &mut layout.endpoints[id as usize];
                let Some(seat) = &mut endpoint.seat else { continue };
                seat.taken = hosts.sitting(seat).filter(|address| present.insert(*address)).map(|address| (address, identity(address)));
                let targets = seat.taken.iter().flat_map(|(address, _)| seat.monitors.iter().map(|monitor| monitor.target(*address)));
                endpoint.checks.targets = targets.collect();
            }
        }
        layout
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::{EndpointLayout, PoolLayout};
    use super::*;
    fn addresses(last: &[u8]) -> Vec<IpAddr> {
        last.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect()
    }

    fn resolution(v4: Option<&[u8]>) -> Resolution {
        Resolution { addresses: [v4.map(addresses), None], next_s: 60, error: None }
    }

    #[test]
    fn who_stays_keeps_the_seat_and_no_more_than_the_limit_are_seated() {
        let (mut hosts, name) = (Hosts::default(), HostName::from("lb.example.net"));
        let seats = |hosts: &Hosts| hosts.host("lb.example.net").unwrap().seats[0].clone();
        for (found, changed, expected) in [
            (Some(&[3, 1, 2][..]), true, [1, 2, 3, 0]),
            (Some(&[2, 3, 1]), false, [1, 2, 3, 0]),
            (Some(&[3, 9]), true, [9, 0, 3, 0]),
            (None, false, [9, 0, 3, 0]),
            (Some(&[3, 4, 5]), true, [4, 5, 3, 0]),
        ] {
            assert_eq!(hosts.take(&name, resolution(found), 0), changed, "{found:?}");
            let expected = expected.map(|last| (last > 0).then(|| IpAddr::from([192, 0, 2, last])));
            assert_eq!(seats(&hosts)[..4], expected, "{found:?}");
        }
        let many: Vec<u8> = (1..100).collect();
        hosts.take(&name, resolution(Some(&many)), 0);
        assert_eq!(hosts.host("lb.example.net").unwrap().addresses().count(), MAX_HOST_ADDRESSES);
    }

    #[test]
    fn a_monitor_asks_for_the_host_unless_it_names_another() {
        let check = |yaml: &str| {
            let spec: crate::health::MonitorSpec = serde_saphyr::from_str(yaml).unwrap();
            match spec.check(&mut |_| Err(String::new())).unwrap().of_host("lb.example.net").request {
                Request::Http(request) => (request.host, request.tls.and_then(|tls| tls.sni)),
                Request::Tls(request) => (None, request.tls.sni),
                other => panic!("{other:?}"),
            }
        };
        for (yaml, host, sni) in [
            ("http: /", Some("lb.example.net"), None),
            ("http: {port: 8080}", Some("lb.example.net:8080"), None),
            ("http: {host: www.example.com}", Some("www.example.com"), None),
            ("https: /", Some("lb.example.net"), Some("lb.example.net")),
            ("https: {host: www.example.com}", Some("www.example.com"), Some("www.example.com")),
            ("tls: {}", None, Some("lb.example.net")),
        ] {
            assert_eq!(check(yaml), (host.map(Box::from), sni.map(Box::from)), "{yaml}");
        }
    }

    #[test]
    fn addresses_that_no_client_could_reach_are_not_used() {
        let (mut hosts, name) = (Hosts::default(), HostName::from("lb.example.net"));
        let odd = ["0.0.0.0", "224.0.0.1", "2001:db8::1"].map(|text| text.parse().unwrap());
        assert!(!hosts.take(&name, Resolution { addresses: [Some(odd.to_vec()), None], ..Resolution::default() }, 0));
    }

    #[test]
    fn p6_a_pool_never_has_an_address_twice_and_each_has_its_monitors() {
        let monitors: Arc<[Monitor]> = [Monitor::new(80, Request::Tcp)].into();
        let seat = |host: &str, number| {
            let seat = Seat { host: host.into(), ipv6: false, number, monitors: Arc::clone(&monitors), taken: None };
            EndpointLayout { seat: Some(seat), ..EndpointLayout::default() }
        };
        let endpoints = vec![EndpointLayout::default(), seat("a", 0), seat("a", 1), seat("b", 0)];
        let layout = Layout { pools: vec![PoolLayout { endpoints: 0..4, ..PoolLayout::default() }], endpoints, ..Layout::default() };
        assert_eq!(layout.hosts().len(), 2);
        let mut hosts = Hosts::default();
        hosts.restore(&"a".into(), &addresses(&[1, 2]));
        hosts.restore(&"b".into(), &addresses(&[2]));
        let fixed = |id| (id == 0).then(|| IpAddr::from([192, 0, 2, 1]));
        let seated = layout.seated(&hosts, fixed, |_| 7);
        let taken = seated.endpoints.iter().map(|endpoint| endpoint.seat.as_ref()?.taken).collect::<Vec<_>>();
        assert_eq!(taken, [None, None, Some((IpAddr::from([192, 0, 2, 2]), 7)), None]);
        assert_eq!(seated.endpoints.iter().map(|endpoint| endpoint.targets().count()).collect::<Vec<_>>(), [0, 0, 1, 0]);
        assert_eq!(seated.seated(&Hosts::default(), fixed, |_| 7), layout, "and all is as before when nothing is known");
    }
}
