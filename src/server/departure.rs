//! In which order and company the replies of a batch leave, and what becomes of those that the system refuses.
//! It makes no system call itself: what sends is handed in.

use std::io;

/// Replies that leave as one: the kernel cuts at most so many segments (UDP_MAX_SEGMENTS of Linux before 6.9).
const MAX_RUN: usize = 64;

/// Octets of such a run: what one datagram of IPv4 could hold (RFC 768, RFC 791 3.1: 65,535 less both headers).
const MAX_RUN_OCTETS: usize = 65_507;

/// A reply that waits to be sent: to which packet of the batch, and where it stands in the buffer of replies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting {
    pub(super) index: usize,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// How many of these replies, from the first on, can be handed over as one long datagram that the kernel, or the card, cuts again: all to
/// one peer and all as long as the first, but the last may be shorter. Clients with many queries on one port are forwarders and load
/// balancers; for others it is 1.
#[inline]
pub(super) fn run_of(waiting: &[Waiting], is_same_peer: impl Fn(usize, usize) -> bool) -> usize {
    let [first, others @ ..] = waiting else { return 0 };
    let most = MAX_RUN.min(MAX_RUN_OCTETS / first.len.max(1));
    let mut run = 1;
    for next in others.iter().take_while(|next| next.len <= first.len && is_same_peer(first.index, next.index)) {
        if run == most {
            break;
        }
        run += 1;
        if next.len < first.len {
            break;
        }
    }
    run
}

/// Hands `count` replies over: `send` takes some of those from an index on, or says why the first of them was
/// refused. Whatever it says, the others get their turn. Returns how many were not taken.
pub(super) fn deliver(count: usize, mut send: impl FnMut(usize) -> io::Result<usize>) -> u64 {
    let (mut next, mut lost) = (0, 0);
    while next < count {
        match send(next) {
            Ok(sent) if sent > 0 => next += sent,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The interface has taken nothing for a whole send time-out; the peers will ask again.
                return lost + (count - next) as u64;
            }
            Ok(_) | Err(_) => {
                next += 1;
                lost += 1;
            }
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peers and lengths of replies that wait, in turn.
    fn waiting(replies: &[(u8, usize)]) -> Vec<Waiting> {
        replies.iter().enumerate().map(|(index, &(_, len))| Waiting { index, start: 0, len }).collect()
    }

    fn runs(replies: &[(u8, usize)]) -> Vec<usize> {
        let waiting = waiting(replies);
        let mut rest = &waiting[..];
        let next = || {
            let run = run_of(rest, |one, other| replies[one].0 == replies[other].0);
            rest = &rest[run..];
            (run > 0).then_some(run)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn replies_to_one_peer_leave_together_while_they_are_alike() {
        assert!(runs(&[]).is_empty());
        assert_eq!(runs(&[(1, 80), (1, 80), (2, 80), (2, 80), (2, 80), (1, 80)]), [2, 3, 1]);
        assert_eq!(runs(&[(1, 80), (1, 80), (1, 79), (1, 79), (1, 80)]), [3, 1, 1], "a shorter one is the last");
        assert_eq!(runs(&[(1, 80), (1, 81), (1, 81)]), [1, 2], "a longer one begins anew");
        assert_eq!(runs(&[(1, 80); 150]), [64, 64, 22], "the kernel cuts 64 at most");
        assert_eq!(runs(&[(1, 4096); 20]), [15, 5], "no datagram is longer than 65,507 octets");
    }

    proptest::proptest! {
        #[test]
        fn a_run_is_what_the_kernel_cuts_again_into_the_same_replies(replies in proptest::collection::vec((0_u8..2, 60_usize..63), 1..200)) {
            let mut at = 0;
            for run in runs(&replies) {
                let (last, first) = (&replies[at + run - 1], &replies[at]);
                proptest::prop_assert!(replies[at..at + run - 1].iter().all(|reply| reply == first), "all as long as the first");
                proptest::prop_assert!(last.0 == first.0 && last.1 <= first.1, "but the last, which may be shorter");
                at += run;
            }
            proptest::prop_assert_eq!(at, replies.len());
        }
    }

    fn failing(code: i32) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(code))
    }

    #[test]
    fn a_refused_reply_does_not_keep_the_others_back() {
        let mut calls = Vec::new();
        let lost = deliver(10, |from| {
            calls.push(from);
            match calls.len() {
                1 => Ok(3),
                2 => failing(libc::EPERM),
                3 => failing(libc::EINTR),
                4 => Ok(2),
                5 => failing(libc::ENOBUFS),
                6 => failing(libc::ECONNREFUSED),
                7 => Ok(0),
                _ => Ok(10 - from),
            }
        });
        assert_eq!((calls, lost), (vec![0, 3, 4, 4, 6, 7, 8, 9], 4));
    }

    #[test]
    fn a_stuck_interface_does_not_hold_a_worker() {
        let mut calls = 0;
        let lost = deliver(64, |_| {
            calls += 1;
            if calls == 1 { Ok(4) } else { failing(libc::EAGAIN) }
        });
        assert_eq!((lost, calls), (60, 2));
    }
}
