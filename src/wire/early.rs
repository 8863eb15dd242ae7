//! What can be guessed of a message before it is judged, to let the memory begin with what its answer will need.
//! Nothing depends on the guess being right: a message that is not as expected has none.

use std::net::IpAddr;

use super::edns::{Ecs, OPT_OCTETS, OPTION_HEADER_OCTETS, option};
use super::{HEADER_OCTETS, QUESTION_FIXED_OCTETS, rtype};
use crate::name::name_octets;

/// Options that are looked at: more stand in hardly any query.
const MAX_OPTIONS: usize = 4;

/// The client subnet of a query whose first record behind the question is OPT (RFC 6891 6.1.2, RFC 7871 6), as queries have it.
#[inline]
pub fn client(message: &[u8]) -> Option<IpAddr> {
    let body = message.get(HEADER_OCTETS..)?;
    let behind = body.get(name_octets(body).ok()? + QUESTION_FIXED_OCTETS..)?;
    let ([_root, type_high, type_low, ..], mut options) = behind.split_first_chunk::<OPT_OCTETS>()?;
    if u16::from_be_bytes([*type_high, *type_low]) != rtype::OPT {
        return None;
    }
    for _ in 0..MAX_OPTIONS {
        let (&[code_high, code_low, length_high, length_low], rest) = options.split_first_chunk::<OPTION_HEADER_OCTETS>()?;
        let (data, others) = rest.split_at_checked(usize::from(u16::from_be_bytes([length_high, length_low])))?;
        if u16::from_be_bytes([code_high, code_low]) == option::ECS {
            return Ecs::parse(data).ok()?.address();
        }
        options = others;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A query for `a.` with an OPT record that has these options.
    fn query(options: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0];
        message.extend((options.len() as u16).to_be_bytes());
        message.extend(options);
        message
    }

    #[test]
    fn the_client_subnet_is_found_among_options() {
        let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
        assert_eq!(client(&query(&subnet)), Some([192, 0, 2, 0].into()));
        let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(client(&query(&[&cookie[..], &subnet].concat())), Some([192, 0, 2, 0].into()));
        assert_eq!(client(&query(&cookie)), None);
        assert_eq!(client(&query(&[0, 8, 0, 4, 0, 1, 0, 0])), None, "the peer is meant");
        assert_eq!(client(&query(&subnet)[..19]), None, "no OPT");
    }

    proptest! {
        #[test]
        fn anything_may_be_looked_at(message in proptest::collection::vec(any::<u8>(), 0..64), options in proptest::collection::vec(0_u8..12, 0..40)) {
            let _ = (client(&message), client(&query(&options)));
        }
    }
}
