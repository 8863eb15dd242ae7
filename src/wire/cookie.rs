//! DNS cookies (RFC 7873) in the form that all servers make alike (RFC 9018): a proof that a client has been sent something before.
//! This room keeps no secret and asks no clock: both are arguments.

use std::fmt;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Octets of the client's part (RFC 7873 4).
pub const CLIENT_OCTETS: usize = 8;

/// Octets of our part: version, reserved, time and hash (RFC 9018 4).
pub const SERVER_OCTETS: usize = 16;

/// Octets of a whole cookie as we send it.
pub const COOKIE_OCTETS: usize = CLIENT_OCTETS + SERVER_OCTETS;

/// The only version there is (RFC 9018 4.1), with the reserved octets that we send.
const VERSION: [u8; 4] = [1, 0, 0, 0];

/// A cookie is good for so long (RFC 9018 4.3).
const GOOD_FOR_S: u32 = 3_600;

/// After so long it is replaced by a fresh one (RFC 9018 4.3).
const FRESH_FOR_S: u32 = 1_800;

/// Clocks of servers that share a secret may differ by so much (RFC 9018 4.3).
const AHEAD_S: u32 = 300;

/// What cookies are made with; servers that share it take each other's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    /// Without the secret, which must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The cookie of a query, of a length that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie<'a> {
    /// The client's part.
    pub client: &'a [u8; CLIENT_OCTETS],
    /// The server's part: nothing, or 8 to 32 octets of whoever made it.
    pub server: &'a [u8],
}

/// What a cookie is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Ours, and good for a while: it may be sent back as it is.
    Fresh,
    /// Ours, and good, but soon too old.
    Ageing,
    /// None of ours, too old, of another address, or there is no server's part.
    Nothing,
}

impl<'a> Cookie<'a> {
    /// From the data of the option; none of a length that RFC 7873 5.2.2 forbids.
    pub(super) fn parse(data: &'a [u8]) -> Option<Cookie<'a>> {
        let (client, server) = data.split_first_chunk()?;
        matches!(server.len(), 0 | 8..=32).then_some(Cookie { client, server })
    }

    /// What it is worth at a time (seconds since 1970, of which 32 bits are compared as RFC 1982 has it), if one of the secrets has made it.
    pub fn worth(&self, secrets: &[Secret], address: IpAddr, now_s: u64) -> Worth {
        let Ok(server) = <&[u8; SERVER_OCTETS]>::try_from(self.server) else { return Worth::Nothing };
        let &[version, _, _, _, t0, t1, t2, t3, ..] = server;
        let age_s = (now_s as u32).wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3]));
        let is_ahead = age_s > u32::MAX - AHEAD_S;
        if version != VERSION[0] || (age_s > GOOD_FOR_S && !is_ahead) {
            return Worth::Nothing;
        }
        let &[head, shown] = server.as_chunks::<8>().0 else { return Worth::Nothing };
        // As numbers: how long it takes tells nobody how much of a guess was right.
        let is_ours = |secret: &Secret| hash(secret, self.client, &head, address) == u64::from_le_bytes(shown);
        // What the second secret has made is replaced: it is the old one, or not everyone's yet.
        match secrets.iter().position(is_ours) {
            None => Worth::Nothing,
            Some(0) if is_ahead || age_s <= FRESH_FOR_S => Worth::Fresh,
            Some(_) => Worth::Ageing,
        }
    }

    /// A whole cookie for this client, made with a secret at a time.
    pub fn renewed(&self, secret: &Secret, address: IpAddr, now_s: u64) -> [u8; COOKIE_OCTETS] {
        let [v0, v1, v2, v3] = VERSION;
        let [t0, t1, t2, t3] = (now_s as u32).to_be_bytes();
        let head = [v0, v1, v2, v3, t0, t1, t2, t3];
        let mut cookie = [0; COOKIE_OCTETS];
        let (client, rest) = cookie.split_at_mut(CLIENT_OCTETS);
        let (to_head, to_hash) = rest.split_at_mut(head.len());
        client.copy_from_slice(self.client);
        to_head.copy_from_slice(&head);
        to_hash.copy_from_slice(&hash(secret, self.client, &head, address).to_le_bytes());
        cookie
    }

    /// The cookie as it came, where it has the length of ours.
    pub fn whole(&self) -> Option<[u8; COOKIE_OCTETS]> {
        let server: &[u8; SERVER_OCTETS] = self.server.try_into().ok()?;
        let mut cookie = [0; COOKIE_OCTETS];
        cookie[..CLIENT_OCTETS].copy_from_slice(self.client);
        cookie[CLIENT_OCTETS..].copy_from_slice(server);
        Some(cookie)
    }
}

/// SipHash-2-4 over the client's part, the head of ours, and the client's address (RFC 9018 4.4); its octets are sent the lowest first.
fn hash(secret: &Secret, client: &[u8; CLIENT_OCTETS], head: &[u8; 8], address: IpAddr) -> u64 {
    let hasher = SipHasher24::new_with_key(&secret.0);
    // Of known size, which is half of the work.
    match address {
        IpAddr::V4(address) => hasher.hash(&joined::<20>([client, head, &address.octets()])),
        IpAddr::V6(address) => hasher.hash(&joined::<32>([client, head, &address.octets()])),
    }
}

/// Octets one behind the other, `N` of them.
#[inline(always)]
fn joined<const N: usize>(parts: [&[u8]; 3]) -> [u8; N] {
    let mut all = [0; N];
    let mut rest = &mut all[..];
    for part in parts {
        let (to, tail) = rest.split_at_mut(part.len());
        to.copy_from_slice(part);
        rest = tail;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Octets from hexadecimal digits.
    fn hex<const N: usize>(text: &str) -> [u8; N] {
        assert_eq!(text.len(), 2 * N, "{text}");
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    /// What a client that shows `cookie` at a time is worth, and what it would be given.
    fn shown(cookie: &[u8], secrets: &[&str], address: &str, now_s: u64) -> (Worth, [u8; COOKIE_OCTETS]) {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret(hex(text))).collect();
        let (cookie, address) = (Cookie::parse(cookie).unwrap(), address.parse().unwrap());
        (cookie.worth(&secrets, address, now_s), cookie.renewed(&secrets[0], address, now_s))
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    /// RFC 9018 A.1: learning a new server cookie.
    #[test]
    fn the_vector_of_rfc_9018_for_a_client_that_has_none() {
        let (worth, given) = shown(&hex::<8>("2464c4abcf10c957"), &[SECRET], "198.51.100.100", 1_559_731_985);
        assert_eq!(worth, Worth::Nothing);
        assert_eq!(given, hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
    }

    /// RFC 9018 A.2: the same client learns a renewed one.
    #[test]
    fn the_vector_of_rfc_9018_for_a_cookie_of_forty_minutes() {
        let old: [u8; 24] = hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        let (worth, given) = shown(&old, &[SECRET], "198.51.100.100", 1_559_734_385);
        assert_eq!(worth, Worth::Ageing);
        assert_eq!(given, hex("2464c4abcf10c957010000005cf7a871d4a564a1442aca77"));
        assert_eq!(shown(&old, &[SECRET], "198.51.100.100", 1_559_731_985 + 1_800).0, Worth::Fresh);
        assert_eq!(shown(&old, &[SECRET], "198.51.100.101", 1_559_734_385).0, Worth::Nothing, "another address");
    }

    /// RFC 9018 A.3: another client, whose reserved octets are not 0 but are hashed all the same.
    #[test]
    fn the_vector_of_rfc_9018_for_reserved_octets_that_are_not_zero() {
        let old: [u8; 24] = hex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let (worth, given) = shown(&old, &[SECRET], "203.0.113.203", 1_559_728_000);
        assert_eq!(worth, Worth::Fresh);
        assert_eq!(shown(&old, &[SECRET], "203.0.113.203", 1_559_734_700).0, Worth::Nothing, "too old by then");
        assert_eq!(given[..12], hex::<12>("fc93fc62807ddb8601000000"));
        let (_, given) = shown(&old, &[SECRET], "203.0.113.203", 1_559_734_700);
        assert_eq!(given, hex("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"));
    }

    /// RFC 9018 A.4: IPv6, and a secret that has been rolled over.
    #[test]
    fn the_vector_of_rfc_9018_for_ipv6_and_a_rolled_secret() {
        const OLD: &str = "dd3bdf9344b678b185a6f5cb60fca715";
        const NEW: &str = "445536bcd2513298075a5d379663c962";
        let old: [u8; 24] = hex("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let address = "2001:db8:220:1:59de:d0f4:8769:82b8";
        let (worth, given) = shown(&old, &[NEW, OLD], address, 1_559_741_961);
        assert_eq!(worth, Worth::Ageing, "good, and to be replaced by one of the new secret");
        assert_eq!(given, hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a"));
        assert_eq!(shown(&old, &[NEW], address, 1_559_741_961).0, Worth::Nothing);
    }

    proptest! {
        #[test]
        fn a_cookie_is_good_for_an_hour_at_its_address_and_nowhere_else(
            client: [u8; 8], secret: [u8; 16], address: u32, made_s: u32, age_s in -1_000i64..10_000, changed in 0usize..24,
        ) {
            let (secret, address) = ([Secret(secret)], IpAddr::V4(address.into()));
            let made_s = u64::from(made_s) + (1 << 33);
            let octets = Cookie { client: &client, server: &[] }.renewed(&secret[0], address, made_s);
            let now_s = (made_s as i64 + age_s) as u64;
            let expected = match age_s {
                -300..=1_800 => Worth::Fresh,
                1_801..=3_600 => Worth::Ageing,
                _ => Worth::Nothing,
            };
            prop_assert_eq!(Cookie::parse(&octets).unwrap().worth(&secret, address, now_s), expected);
            let mut other = octets;
            other[changed] ^= 1;
            prop_assert_eq!(Cookie::parse(&other).unwrap().worth(&secret, address, made_s), Worth::Nothing);
        }
    }

    #[test]
    fn lengths_are_those_of_rfc_7873() {
        for length in 0..=60 {
            assert_eq!(Cookie::parse(&vec![1; length]).is_some(), matches!(length, 8 | 16..=40), "{length}");
        }
    }
}
