//! What fits no message: it would be answered with TC over TCP too, for ever. RRsets alone, RRsets behind aliases, referrals with their glue.
//! It takes what comes before an RRset at its longest, and the RRset itself exactly as a reply would have it.

use super::{Chain, MAX_ALIAS_CHAIN};
use crate::diag::{Diagnostics, Mark};
use crate::name::{MAX_NAME_OCTETS, Name};
use crate::wire::edns::OptReply;
use crate::wire::{MAX_MESSAGE_OCTETS, class, reply, rtype};
use crate::zone::owners::{Owner, Owners};
use crate::zone::rrset::Rrset;

/// Data up to here fits any message, behind the longest chain of aliases too: the head of a record has 12 octets, and but one record has no
/// data at all.
const SMALL_RRSET_OCTETS: usize = 8_192;

/// Octets of a record whose owner is a pointer, without its data.
pub(super) const RECORD_OCTETS: usize = 12;

/// Octets of the longest question and the longest chain: a DNAME with its CNAME at each step.
const MAX_CHAIN_OCTETS: usize = MAX_NAME_OCTETS + MAX_ALIAS_CHAIN * (2 * RECORD_OCTETS + 3 * MAX_NAME_OCTETS);

/// An RRset that no message can hold would be answered with TC for ever, over TCP too.
pub(super) fn of_rrset(owner: &Owner, (rrset, mark): &(Rrset, Mark), out: &mut Diagnostics) {
    if !fits(&owner.name, rrset, longest_question(&owner.name) - owner.name.as_wire().len()) {
        let records = rrset.iter().count();
        let text = format!("{} of `{}` fits no message: {records} records are too much", rtype::name(rrset.rtype()), owner.name);
        out.error_hint(mark.clone(), text, too_large_hint());
    }
}

/// What an alias (`rtype` is CNAME or DNAME) leads to; `large` is of [`large_sets`].
pub(super) fn behind_alias(
    owners: &Owners,
    owner: &Owner,
    (rtype, mark): (u16, &Mark),
    chain: &Chain,
    large: &[(&Name, &Rrset)],
    out: &mut Diagnostics,
) {
    let mut refuse = |name: &Name, rrset: &Rrset, octets: usize| {
        if !fits(name, rrset, octets - name.as_wire().len()) {
            let [alias, set] = [rtype, rrset.rtype()].map(rtype::name);
            let text =
                format!("the {alias} of `{}` leads to {set} of `{name}`, and there may be no room for both in one message", owner.name);
            out.error_hint(mark.clone(), text, too_large_hint());
        }
    };
    match owners.target(owner, rtype::DNAME) {
        // Which name below its target a DNAME leads to, and over how many others, is for the client to choose.
        Some(target) => {
            let below = large.iter().filter(|(name, _)| **name != target && name.ends_with(&target));
            below.for_each(|(name, rrset)| refuse(name, rrset, MAX_CHAIN_OCTETS));
        }
        None => {
            let end = chain.end.map(|end| owners.at(end));
            let sets = end.into_iter().flat_map(|end| owners.sets(end).iter().map(|(rrset, _)| (&end.name, rrset)));
            sets.for_each(|(name, rrset)| refuse(name, rrset, chain.octets));
        }
    }
}

/// A referral brings the addresses that nobody else has (RFC 9471); one that fits no message would have TC for ever.
pub(super) fn of_referral(owners: &Owners, index: u32, owner: &Owner, out: &mut Diagnostics) {
    let Some((servers, mark)) = owners.set(owner, rtype::NS).filter(|_| owner.cut == Some(index)) else { return };
    let hosts = servers.targets().filter_map(|server| owners.find(&server)).map(|host| owners.at(host)).filter(|host| host.cut.is_some());
    let addresses = hosts.flat_map(|host| owners.sets(host)).filter(|(rrset, _)| matches!(rrset.rtype(), rtype::A | rtype::AAAA));
    let glue: usize = addresses.flat_map(|(rrset, _)| rrset.iter()).map(|address| RECORD_OCTETS + address.len()).sum();
    if !fits(&owner.name, servers, glue + MAX_NAME_OCTETS - owner.name.as_wire().len()) {
        let text = format!("the referral to `{}` fits no message: its name servers and their addresses are too much", owner.name);
        out.error_hint(mark.clone(), text, too_large_hint());
    }
}

/// The RRsets that can be too large for what comes before them.
pub(super) fn large_sets(owners: &Owners) -> Vec<(&Name, &Rrset)> {
    let sets = owners.iter().flat_map(|(_, owner)| owners.sets(owner).iter().map(|(rrset, _)| (&owner.name, rrset)));
    sets.filter(|(_, rrset)| rrset.rdatas().len() > SMALL_RRSET_OCTETS).collect()
}

/// Octets of the longest name that an owner answers for: a wildcard is asked for by longer ones.
pub(super) fn longest_question(owner: &Name) -> usize {
    if owner.is_wildcard() { MAX_NAME_OCTETS } else { owner.as_wire().len() }
}

/// Whether the largest message holds an RRset and `besides` octets that are not in the answer to a plain question for it.
fn fits(owner: &Name, rrset: &Rrset, besides: usize) -> bool {
    if rrset.rdatas().len() <= SMALL_RRSET_OCTETS && besides <= SMALL_RRSET_OCTETS {
        return true;
    }
    let question = [owner.as_wire(), &rrset.rtype().to_be_bytes(), &class::IN.to_be_bytes()].concat();
    let limit = MAX_MESSAGE_OCTETS.saturating_sub(besides);
    limit > question.len() + SMALL_RRSET_OCTETS && reply::can_hold(limit, &question, OptReply::LONGEST, rrset.rtype(), rrset.rdatas())
}

fn too_large_hint() -> String {
    format!("a message has at most {MAX_MESSAGE_OCTETS} octets: give fewer or shorter records")
}

#[cfg(test)]
mod tests {
    use crate::zone::check::tests::said;

    #[test]
    fn n9_an_rrset_that_no_message_can_hold_is_refused() {
        let list = |count: u32, one: &dyn Fn(u32) -> String| (0..count).map(one).collect::<Vec<_>>().join(" | ");
        let address = |i: u32| format!("10.0.{}.{}", i / 256, i % 256);
        // 16 octets a record; the header, the question and OPT take their room.
        for (owner, fits) in [("a", 4070), ("*.a", 4050)] {
            assert_eq!(said(&format!("{owner} A {}", list(fits, &address))), "");
            let over = said(&format!("{owner} A {}", list(fits + 30, &address)));
            assert!(over.starts_with(&format!("2: error: A of `{owner}.example.com.` fits no message: {} records", fits + 30)), "{over}");
        }
        // Names in MX are compressed.
        assert_eq!(said(&format!("a MX {}", list(3000, &|i| format!("{i} mail.of.a.rather.long.name.example.net.")))), "");
        let text = |octets: usize| (0..octets / 250).map(|_| "x".repeat(249)).collect::<Vec<_>>().join(" ");
        assert_eq!(said(&format!("a TXT {}", text(65_000))), "");
        assert!(said(&format!("a TXT {}", text(65_500))).starts_with("2: error: TXT of `a.example.com.` fits no message"));
    }

    #[test]
    fn n9_what_does_not_fit_behind_an_alias_is_refused() {
        // Strings of 10 octets, with their length.
        let behind = |octets: usize, alias: &str| said(&format!("big TXT {}\n{alias}", vec!["x".repeat(9); octets / 10].join(" ")));
        assert_eq!(behind(65_280, "other CNAME small\nsmall A 192.0.2.1"), "");
        for alias in ["c CNAME big", "a CNAME b\nb CNAME c\nc CNAME big", "*.w CNAME big", "old DNAME @", "c CNAME big.old\nold DNAME @"] {
            assert_eq!(behind(58_000, alias), "", "{alias}");
            let shown = behind(65_280, alias);
            assert!(shown.contains("of `big.example.com.`, and there may be no room for both in one message"), "{alias}: {shown}");
        }
        assert!(behind(65_280, "c CNAME big").starts_with("3: error: the CNAME of `c.example.com.` leads to TXT of `big.example.com.`"));
    }

    #[test]
    fn n9_a_referral_that_no_message_can_hold_is_refused() {
        let referral = |servers: u32| {
            let names: Vec<String> = (0..servers).map(|i| format!("n{i}.sub")).collect();
            let glue: Vec<String> = (0..servers).map(|i| format!("n{i}.sub AAAA 2001:db8::{i:x}")).collect();
            said(&format!("sub NS {}\n{}", names.join(" | "), glue.join("\n")))
        };
        assert_eq!(referral(1_300), "");
        assert_eq!(
            referral(1_600),
            "2: error: the referral to `sub.example.com.` fits no message: its name servers and their addresses are too much\n"
        );
    }
}
