//! Address hints of SVCB and HTTPS records (RFC 9460 7.3): the addresses that a steered name has for a client, put into its record.
//! It works on encoded data and allocates nothing; which addresses is settled elsewhere.

use super::rrset::Rrset;
use crate::name::Name;

/// Room for an RRset with hints; what is larger is answered as written.
pub const MAX_OCTETS: usize = 4096;

/// SvcParamKeys (RFC 9460 14.3.2).
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;

/// Octets of priority, and of a key with its length.
const PRIORITY_OCTETS: usize = 2;
const PARAM_OCTETS: usize = 4;

/// Addresses for hints, as octets one behind the other; empty = no hint.
#[derive(Debug, Clone, Copy)]
pub struct Hints<'h> {
    /// Four octets each.
    pub v4: &'h [u8],
    /// Sixteen octets each.
    pub v6: &'h [u8],
}

/// Writes the records of `rrset` with hints to `out`, in the form of [`Rrset::rdatas`]: those in ServiceMode that are about `owner` itself.
/// Hints that are written in them give way. `None` if there is not enough room.
pub fn with_hints<'o>(rrset: &Rrset, owner: &Name, hints: Hints<'_>, out: &'o mut [u8; MAX_OCTETS]) -> Option<&'o [u8]> {
    let mut page = Page { out, len: 0 };
    for rdata in rrset.iter() {
        let at = page.len;
        page.put(&[0, 0])?;
        match params_of(rdata, owner) {
            Some(params) => page.merged(&rdata[..params], &rdata[params..], hints)?,
            None => page.put(rdata)?,
        }
        let octets = u16::try_from(page.len - at - 2).ok()?;
        page.out[at..at + 2].copy_from_slice(&octets.to_be_bytes());
    }
    let len = page.len;
    Some(&out[..len])
}

/// Whether a record holds hints as written.
pub fn has_hints(rdata: &[u8]) -> bool {
    let params = target_octets(rdata).and_then(|target| rdata.get(PRIORITY_OCTETS + target..)).unwrap_or_default();
    Params(params).any(|(key, _)| matches!(key, IPV4HINT | IPV6HINT))
}

/// Where the parameters of a record begin that may have hints.
fn params_of(rdata: &[u8], owner: &Name) -> Option<usize> {
    let target = target_octets(rdata)?;
    let name = rdata.get(PRIORITY_OCTETS..PRIORITY_OCTETS + target)?;
    let is_alias_mode = rdata[..PRIORITY_OCTETS] == [0, 0];
    let is_own = name == [0] || name.eq_ignore_ascii_case(owner.as_wire());
    (!is_alias_mode && is_own).then_some(PRIORITY_OCTETS + target)
}

/// Length of the target's name.
fn target_octets(rdata: &[u8]) -> Option<usize> {
    let mut at = PRIORITY_OCTETS;
    loop {
        match *rdata.get(at)? {
            0 => return Some(at + 1 - PRIORITY_OCTETS),
            label => at += usize::from(label) + 1,
        }
    }
}

/// Keys, and whole parameters, in ascending order of keys.
struct Params<'r>(&'r [u8]);

impl<'r> Iterator for Params<'r> {
    type Item = (u16, &'r [u8]);

    fn next(&mut self) -> Option<(u16, &'r [u8])> {
        let head = self.0.first_chunk::<PARAM_OCTETS>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (param, rest) = self.0.split_at_checked(PARAM_OCTETS + length)?;
        self.0 = rest;
        Some((u16::from_be_bytes([head[0], head[1]]), param))
    }
}

/// The run while it is written.
struct Page<'o> {
    out: &'o mut [u8; MAX_OCTETS],
    len: usize,
}

impl Page<'_> {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        self.out.get_mut(self.len..self.len + octets.len())?.copy_from_slice(octets);
        self.len += octets.len();
        Some(())
    }

    /// Parameters stand in ascending order of their keys (RFC 9460 2.2).
    fn merged(&mut self, head: &[u8], params: &[u8], hints: Hints<'_>) -> Option<()> {
        self.put(head)?;
        let kept = |from: u16, to: u16| Params(params).filter(move |(key, _)| (from..to).contains(key)).map(|(_, param)| param);
        kept(0, IPV4HINT).try_for_each(|param| self.put(param))?;
        self.hint(IPV4HINT, hints.v4)?;
        kept(IPV4HINT + 1, IPV6HINT).try_for_each(|param| self.put(param))?;
        self.hint(IPV6HINT, hints.v6)?;
        Params(params).filter(|(key, _)| *key > IPV6HINT).try_for_each(|(_, param)| self.put(param))
    }

    fn hint(&mut self, key: u16, addresses: &[u8]) -> Option<()> {
        if addresses.is_empty() {
            return Some(());
        }
        self.put(&key.to_be_bytes())?;
        self.put(&u16::try_from(addresses.len()).ok()?.to_be_bytes())?;
        self.put(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtype;
    use crate::zone::rrset::rdata_from_text;

    fn https(texts: &[&str]) -> Rrset {
        let rdatas: Vec<Vec<u8>> = texts.iter().map(|text| rdata_from_text(rtype::HTTPS, text, &Name::root()).unwrap()).collect();
        Rrset::new(rtype::HTTPS, 60, &rdatas)
    }

    fn hinted(written: &[&str], hints: Hints<'_>) -> Vec<u8> {
        let owner = Name::parse("www.example.com.", None).unwrap();
        with_hints(&https(written), &owner, hints, &mut [0; MAX_OCTETS]).unwrap().to_vec()
    }

    const HINTS: Hints<'_> = Hints { v4: &[192, 0, 2, 1, 192, 0, 2, 2], v6: &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] };

    #[test]
    fn hints_stand_in_the_order_of_keys_and_take_the_place_of_written_ones() {
        let wanted = https(&["1 . alpn=h2 ipv4hint=192.0.2.1,192.0.2.2 ech=AAAA ipv6hint=2001:db8::1 key7=x"]);
        assert_eq!(hinted(&["1 . alpn=h2 ipv4hint=198.51.100.9 ech=AAAA key7=x"], HINTS), wanted.rdatas());
        let none = Hints { v4: &[], v6: &[] };
        assert_eq!(hinted(&["1 . ipv4hint=198.51.100.9 port=8443"], none), https(&["1 . port=8443"]).rdatas());
    }

    #[test]
    fn other_targets_and_aliases_stay_as_written() {
        for written in ["0 svc.example.net.", "1 svc.example.net. ipv4hint=198.51.100.9", "0 ."] {
            assert_eq!(hinted(&[written], HINTS), https(&[written]).rdatas(), "{written}");
        }
        let own = hinted(&["1 WWW.example.com. port=8443", "2 ."], Hints { v6: &[], ..HINTS });
        assert_eq!(own, https(&["1 WWW.example.com. port=8443 ipv4hint=192.0.2.1,192.0.2.2", "2 . ipv4hint=192.0.2.1,192.0.2.2"]).rdatas());
    }

    #[test]
    fn written_hints_are_seen() {
        let seen = |text: &str| https(&[text]).iter().any(has_hints);
        assert!(seen("1 . ipv4hint=192.0.2.1") && seen("1 a.example. alpn=h2 ipv6hint=::1") && !seen("1 . alpn=h2") && !seen("0 ."));
    }
}
