//! What must hold between the records of a zone, as named-checkzone and zonemaster see it: aliases, delegations, glue, hosts without address.
//! It judges and changes nothing. An error is what would be answered wrongly or never; a warning is what may be meant, but seldom is.

mod size;

use super::owners::{APEX, Owner, Owners, Place};
use super::rename;
use super::rrset::Rrset;
use super::{Besides, hints};
use crate::diag::{Diagnostics, Mark};
use crate::name::{MAX_NAME_OCTETS, Name};
use crate::wire::rtype;

/// In-zone aliases are followed at most this far (BEHAVIOUR C2).
pub const MAX_ALIAS_CHAIN: usize = 8;

/// Reports everything that is wrong; `mark` is where the zone's name stands.
pub(super) fn zone(owners: &Owners, mark: &Mark, out: &mut Diagnostics) {
    if owners.set(owners.at(APEX), rtype::NS).is_none() {
        let text = format!("zone `{}` has no NS records", owners.apex());
        out.error_hint(mark.clone(), text, "add `ns: [ns1, ns2]` with the names that the parent zone delegates to");
    }
    let doubled = doubled(owners.apex());
    let large = size::large_sets(owners);
    for (index, owner) in owners.iter() {
        check_kinds(owners, index, owner, out);
        check_below_cut(owners, index, owner, out);
        for set in owners.sets(owner) {
            check_targets(owners, owner, set, out);
            size::of_rrset(owner, set, out);
            check_doubled(owner, set, doubled.as_ref(), out);
        }
        check_glue(owners, index, owner, out);
        size::of_referral(owners, index, owner, out);
        check_chain(owners, owner, &large, out);
    }
}

/// Which types may stand together, and where.
fn check_kinds(owners: &Owners, index: u32, owner: &Owner, out: &mut Diagnostics) {
    let name = &owner.name;
    if let Some((rrset, mark)) = owners.set(owner, rtype::CNAME) {
        if rrset.iter().count() > 1 {
            out.error(mark.clone(), format!("`{name}` has more than one CNAME"));
        }
        if owners.sets(owner).len() > 1 || owner.steering.is_some() || index == APEX {
            let text = format!("`{name}` has a CNAME beside other data (RFC 1034 3.6.2)");
            out.error_hint(mark.clone(), text, "use A and AAAA, or `steer:`, where other data stands");
        }
    }
    if let Some((rrset, mark)) = owners.set(owner, rtype::DNAME)
        && rrset.iter().count() > 1
    {
        out.error(mark.clone(), format!("`{name}` has more than one DNAME (RFC 6672 2.4)"));
    }
    let addresses = owners.set(owner, rtype::A).or(owners.set(owner, rtype::AAAA));
    if let (Some((.., mark)), Some(_)) = (&owner.steering, addresses) {
        let text = format!("`{name}` is steered and has A or AAAA records as well");
        out.error_hint(mark.clone(), text, "a steered name takes its addresses from the regions");
    }
    if let Some((_, steered, types, mark)) = &owner.steering {
        check_steered_types(owners, index, (steered.besides, types, mark), out);
    }
    let unfit = [rtype::NS, rtype::DNAME, rtype::DS].into_iter().filter(|_| name.is_wildcard());
    for (rrset, mark) in unfit.filter_map(|rtype| owners.set(owner, rtype)) {
        out.error(mark.clone(), format!("a wildcard must not have {} (RFC 4592 4)", rtype::name(rrset.rtype())));
    }
    let above = owners.at(owner.parent);
    if let (Some(_), Some(mark)) = (owners.set(above, rtype::DNAME).filter(|_| index != APEX), owners.first_mark(index)) {
        let text = format!("`{name}` is never answered: `{}` has a DNAME, which renames all names below it (RFC 6672 2.4)", above.name);
        out.error_hint(mark.clone(), text, "remove the one or the other");
    }
}

/// What regions have records of must not be written as well, and an alias stands alone (BEHAVIOUR C1).
fn check_steered_types(owners: &Owners, index: u32, (besides, types, mark): (Besides, &[u16], &Mark), out: &mut Diagnostics) {
    let owner = owners.at(index);
    let name = &owner.name;
    if besides == Besides::Alias && index == APEX {
        let text = format!("`{name}` is the apex of the zone, where no CNAME may stand (RFC 1034 3.6.2)");
        return out.error_hint(mark.clone(), text, "steer addresses there: a service with `endpoints`");
    }
    let is_hinted = |rrset: &Rrset| matches!(rrset.rtype(), rtype::SVCB | rtype::HTTPS) && rrset.iter().any(hints::has_hints);
    for (_, mark) in owners.sets(owner).iter().filter(|(rrset, _)| is_hinted(rrset)) {
        let text = format!("`{name}` is steered, and its address hints here are the same for everybody");
        out.warning_hint(mark.clone(), text, "remove them: the addresses that a client is steered to are its hints");
    }
    for (rrset, mark) in owners.sets(owner) {
        let type_name = rtype::name(rrset.rtype());
        if besides == Besides::Alias {
            out.error(mark.clone(), format!("`{name}` is steered to CNAMEs, beside which no {type_name} may stand (RFC 1034 3.6.2)"));
        } else if types.contains(&rrset.rtype()) {
            let text = format!("`{name}` has {type_name} here, and is steered to regions that have {type_name} under `records`");
            out.error_hint(mark.clone(), text, "keep one of them");
        }
    }
}

/// Below a cut only glue is of use; a steered name there would never be asked for.
fn check_below_cut(owners: &Owners, index: u32, owner: &Owner, out: &mut Diagnostics) {
    let Some(cut) = owner.cut else { return };
    let cut_name = &owners.at(cut).name;
    if let Some((.., mark)) = &owner.steering {
        out.error(mark.clone(), format!("`{}` cannot be steered: `{cut_name}` is delegated to other name servers", owner.name));
    }
    let seen: &[u16] = if cut == index { &[rtype::NS, rtype::DS] } else { &[rtype::A, rtype::AAAA] };
    // A host may have the name of the cut itself: then its addresses are glue.
    let is_glue = |rrset: &Rrset| cut == index && matches!(rrset.rtype(), rtype::A | rtype::AAAA) && serves_itself(owners, owner);
    for (rrset, mark) in owners.sets(owner).iter().filter(|(rrset, _)| !seen.contains(&rrset.rtype()) && !is_glue(rrset)) {
        let type_name = rtype::name(rrset.rtype());
        out.warning(mark.clone(), format!("{type_name} of `{}` is never answered: `{cut_name}` is delegated", owner.name));
    }
}

fn serves_itself(owners: &Owners, cut: &Owner) -> bool {
    owners.set(cut, rtype::NS).is_some_and(|(servers, _)| servers.targets().any(|server| server == cut.name))
}

/// Hosts that NS, MX and SRV name inside the zone need addresses here, and must be no aliases (RFC 2181 10.3, RFC 2782).
fn check_targets(owners: &Owners, owner: &Owner, (rrset, mark): &(Rrset, Mark), out: &mut Diagnostics) {
    let what = match rrset.rtype() {
        rtype::NS => "name server",
        rtype::MX => "mail server",
        rtype::SRV => "server",
        _ => return,
    };
    // Data that is never answered has been reported.
    if owner.cut.is_some() && rrset.rtype() != rtype::NS {
        return;
    }
    // The root as a target says that there is no such service (RFC 7505, RFC 2782).
    for target in rrset.targets().filter(|target| !target.is_root()) {
        let (trouble, hint) = match owners.place(&target) {
            Place::Outside | Place::Delegated(_) => continue,
            Place::Owner(host) if owners.set(owners.at(host), rtype::CNAME).is_some() => ("is an alias (RFC 2181 10.3)", None),
            Place::Owner(host) if owners.has_address(owners.at(host)) => continue,
            Place::Renamed(_) => ("lies below a DNAME, so that it is an alias (RFC 2181 10.3)", None),
            Place::Owner(_) | Place::NameError => ("has no address in this zone", Some(missing_host_hint(owners, &target))),
        };
        let text = format!("{what} `{target}` {trouble}");
        match hint {
            Some(hint) => out.warning_hint(mark.clone(), text, hint),
            None if rrset.rtype() == rtype::NS => out.error(mark.clone(), text),
            None => out.warning(mark.clone(), text),
        }
    }
}

/// A name of two labels and more that was typed without its final dot is in the zone, where it was not meant to be.
fn missing_host_hint(owners: &Owners, target: &Name) -> String {
    let add = "add its A or AAAA under `records:`";
    match typed_below(owners.apex(), target) {
        Some(typed) => format!("{add}; if `{typed}.` was meant, end it with a dot: names without one are relative to the zone"),
        None => add.to_owned(),
    }
}

/// What stands before the name of the zone in `name`, if that looks like a name from elsewhere: a domain under a host, none of it a service (`_tcp`).
/// Where it is the name of the zone itself once more, that is told of the name as such.
fn typed_below(apex: &Name, name: &Name) -> Option<String> {
    let text = name.to_string();
    let typed = text.strip_suffix(&apex.to_string())?.strip_suffix('.')?;
    let is_doubled = format!("{typed}.").ends_with(&apex.to_string());
    (typed.contains('.') && !typed.contains('_') && !is_doubled).then(|| typed.to_owned())
}

/// A delegation of which every server lies below it cannot be followed without an address of one of them (RFC 9471).
fn check_glue(owners: &Owners, index: u32, owner: &Owner, out: &mut Diagnostics) {
    let Some((servers, mark)) = owners.set(owner, rtype::NS).filter(|_| owner.cut == Some(index)) else { return };
    let lacks_glue = |server: &Name| {
        owners.place(server) == Place::Delegated(index) && !owners.find(server).is_some_and(|host| owners.has_address(owners.at(host)))
    };
    let lacking: Vec<Name> = servers.targets().filter(lacks_glue).collect();
    let Some(server) = lacking.first() else { return };
    if lacking.len() == servers.iter().count() {
        let text =
            format!("nobody can follow the delegation of `{}`: its name servers lie below it, and none has an address here", owner.name);
        out.error_hint(mark.clone(), text, format!("add glue: A or AAAA of `{server}`"));
    } else {
        lacking.iter().for_each(|server| {
            let text = format!("name server `{server}` lies below the delegation of `{}` and has no address here", owner.name);
            out.warning_hint(mark.clone(), text, "add glue: its A or AAAA");
        });
    }
}

/// CNAMEs and DNAMEs that lead back to themselves, further than [`MAX_ALIAS_CHAIN`] (BEHAVIOUR C2, P7), or to what does not fit behind them.
fn check_chain(owners: &Owners, owner: &Owner, large: &[(&Name, &Rrset)], out: &mut Diagnostics) {
    for rtype in [rtype::CNAME, rtype::DNAME] {
        let Some((_, mark)) = owners.set(owner, rtype) else { continue };
        let type_name = rtype::name(rtype);
        let missing = owners.target(owner, rtype).filter(|target| owners.place(target) == Place::NameError);
        if let Some((target, typed)) = missing.and_then(|target| typed_below(owners.apex(), &target).map(|typed| (target, typed))) {
            let hint = format!("if `{typed}.` was meant, end it with a dot: names without one are relative to the zone");
            out.warning_hint(mark.clone(), format!("the {type_name} of `{}` leads to `{target}`, which does not exist", owner.name), hint);
        }
        let Some(chain) = chain(owners, owner, rtype) else {
            let text = format!("the {type_name} of `{}` leads in a circle or over more than {MAX_ALIAS_CHAIN} steps", owner.name);
            out.error(mark.clone(), text);
            continue;
        };
        size::behind_alias(owners, owner, (rtype, mark), &chain, large, out);
    }
}

/// Where an alias leads inside the zone.
struct Chain {
    /// The owner at its end.
    end: Option<u32>,
    /// The longest question and all records on the way: at most so many octets.
    octets: usize,
}

/// The way of an alias (`rtype` is CNAME or DNAME); `None` if it is a circle or too long.
fn chain(owners: &Owners, owner: &Owner, rtype: u16) -> Option<Chain> {
    // Any name below a DNAME's owner goes the way of this one.
    let first = owners.target(owner, rtype);
    let mut at = if rtype == rtype::DNAME { first.and_then(|target| target.prepend(b"x").ok()) } else { first };
    let (mut steps, mut end, mut octets) = (0, None, size::longest_question(&owner.name));
    while let Some(name) = at.take() {
        steps += 1;
        if steps > MAX_ALIAS_CHAIN {
            return None;
        }
        octets += size::RECORD_OCTETS + name.as_wire().len();
        at = match owners.place(&name) {
            Place::Owner(next) => {
                end = Some(next);
                owners.target(owners.at(next), rtype::CNAME)
            }
            Place::Renamed(next) => {
                let next = owners.at(next);
                octets += size::RECORD_OCTETS + 2 * MAX_NAME_OCTETS;
                owners.target(next, rtype::DNAME).and_then(|target| rename::renamed(&name, &next.name, &target))
            }
            _ => None,
        };
    }
    Some(Chain { end, octets })
}

/// Names that hold the zone's name twice: almost always a final dot is missing.
fn check_doubled(owner: &Owner, (rrset, mark): &(Rrset, Mark), doubled: Option<&Name>, out: &mut Diagnostics) {
    let Some(doubled) = doubled else { return };
    let names = std::iter::once(owner.name.clone()).chain(rrset.targets());
    if let Some(name) = names.into_iter().find(|name| name.ends_with(doubled)) {
        let text = format!("`{name}` holds the zone's name twice");
        out.warning_hint(mark.clone(), text, "names without a final dot are relative to the zone: end absolute names with a dot");
    }
}

/// The zone's name below itself. A zone of one label is a registry's: there `com.com.` is a name like any other.
fn doubled(apex: &Name) -> Option<Name> {
    let labels: Vec<&[u8]> = apex.labels().collect();
    (labels.len() > 1).then(|| labels.iter().rev().try_fold(apex.clone(), |name, label| name.prepend(label)).ok())?
}

#[cfg(test)]
mod tests {
    use crate::diag::{Diagnostics, Mark, Source};
    use crate::name::Name;
    use crate::wire::rtype;
    use crate::zone::SteeringId;
    use crate::zone::build::{Builder, Soa};
    use crate::zone::rrset::{Rrset, rdata_from_text};

    /// What is said of a zone of these records (`owner TYPE data`, line by line), each as `line: severity: text`.
    fn said_of(apex: &str, records: &str) -> String {
        let apex = Name::parse(apex, None).unwrap();
        let source = Source::new("t", records);
        let mut builder = Builder::new(apex.clone(), 300, Mark::new(&source, 1, 1));
        let soa =
            Soa { mname: apex.clone(), rname: apex.clone(), serial: None, refresh_s: 1, retry_s: 1, expire_s: 1, minimum_s: 1, ttl_s: 1 };
        builder.soa(soa);
        for (line, record) in (1..).zip(records.lines()) {
            let [owner, kind, data] = record.trim().splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{record}") };
            let owner = Name::parse(owner, Some(&apex)).unwrap();
            let mark = Mark::new(&source, line, 1);
            if kind == "steer" {
                builder.steer(&owner, SteeringId(0), [true, true], &[], mark);
                continue;
            }
            let rtype = rtype::parse(kind).unwrap();
            let rdatas: Vec<Vec<u8>> = data.split(" | ").map(|data| rdata_from_text(rtype, data, &apex).unwrap()).collect();
            builder.rrset(&owner, Rrset::new(rtype, 300, &rdatas), mark);
        }
        let mut out = Diagnostics::new();
        let zone = builder.finish(&mut out);
        assert_eq!(zone.is_none(), out.has_errors());
        let first_lines = out.to_string();
        first_lines.lines().filter_map(|line| line.strip_prefix("t:")).map(|line| format!("{}\n", line.replacen(":1: ", ": ", 1))).collect()
    }

    pub(super) fn said(records: &str) -> String {
        said_of("example.com.", &format!("@ NS ns.example.net.\n{records}"))
    }

    #[test]
    fn a_sound_zone_is_left_alone() {
        let sound = "@ MX 10 mail | 20 mail.example.net. | 0 .\nmail A 192.0.2.1\nwww steer web\n_sip._tcp SRV 1 1 5060 www\nwww TXT a\n\
                     sub NS ns.sub | ns.example.net.\nns.sub AAAA 2001:db8::1\nsub DS 1 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n\
                     self NS self\nself A 192.0.2.2\nold DNAME new\nalias CNAME x.old\n*.new A 192.0.2.3\n_null._tcp SRV 0 0 0 .\nother NS ns.sub";
        assert_eq!(said(sound), "");
    }

    #[test]
    fn n7_hosts_inside_the_zone_need_addresses() {
        let shown = said("@ MX 10 mail\n_sip._tcp SRV 1 1 5060 sip\nmail TXT a\nsub NS ns2");
        assert_eq!(
            shown,
            "2: warning: mail server `mail.example.com.` has no address in this zone\n\
             3: warning: server `sip.example.com.` has no address in this zone\n\
             5: warning: name server `ns2.example.com.` has no address in this zone\n"
        );
        assert_eq!(
            said_of("example.com.", "@ NS ns1\n*.x A 192.0.2.1"),
            "1: warning: name server `ns1.example.com.` has no address in this zone\n"
        );
        assert_eq!(said("@ MX 10 a.wild\n*.wild A 192.0.2.1"), "");
    }

    #[test]
    fn a_final_dot_is_missed_where_a_name_looks_absolute() {
        let absolute = |text: &str| Name::parse(text, None).unwrap();
        let apex = absolute("example.com.");
        let typed = |text: &str| super::typed_below(&apex, &absolute(text));
        assert_eq!(typed("mail.example.net.example.com.").as_deref(), Some("mail.example.net"));
        assert_eq!([typed("mail.example.com."), typed("_sip._tcp.example.com."), typed("mail.example.net.")], [None, None, None]);
        assert_eq!(
            said("a CNAME www.example.net\nb CNAME gone\nc CNAME www.example.net."),
            "2: warning: the CNAME of `a.example.com.` leads to `www.example.net.example.com.`, which does not exist\n"
        );
    }

    #[test]
    fn c1_hosts_are_no_aliases() {
        let shown = said("a CNAME b\nb A 192.0.2.1\nsub NS a\n@ MX 10 a\n_sip._tcp SRV 1 1 1 a\nold DNAME new\nsub2 NS x.old");
        assert_eq!(
            shown,
            "4: error: name server `a.example.com.` is an alias (RFC 2181 10.3)\n\
             5: warning: mail server `a.example.com.` is an alias (RFC 2181 10.3)\n\
             6: warning: server `a.example.com.` is an alias (RFC 2181 10.3)\n\
             8: error: name server `x.old.example.com.` lies below a DNAME, so that it is an alias (RFC 2181 10.3)\n"
        );
    }

    #[test]
    fn n7_a_delegation_needs_glue() {
        let none = said("sub NS ns1.sub | ns2.sub");
        assert_eq!(
            none,
            "2: error: nobody can follow the delegation of `sub.example.com.`: its name servers lie below it, and none has an address here\n"
        );
        let some = said("sub NS ns1.sub | ns.example.net.");
        assert_eq!(
            some,
            "2: warning: name server `ns1.sub.example.com.` lies below the delegation of `sub.example.com.` and has no address here\n"
        );
    }

    #[test]
    fn n7_what_lies_below_a_cut_is_never_answered() {
        let shown =
            said("sub NS ns.example.net.\nsub A 192.0.2.1\nx.sub TXT a\ny.sub A 192.0.2.1\nz.sub steer web\nz.z.sub NS ns.example.net.");
        assert_eq!(
            shown,
            "3: warning: A of `sub.example.com.` is never answered: `sub.example.com.` is delegated\n\
             4: warning: TXT of `x.sub.example.com.` is never answered: `sub.example.com.` is delegated\n\
             6: error: `z.sub.example.com.` cannot be steered: `sub.example.com.` is delegated to other name servers\n\
             7: warning: NS of `z.z.sub.example.com.` is never answered: `sub.example.com.` is delegated\n"
        );
    }

    #[test]
    fn c1_aliases_stand_alone_and_once() {
        let shown = said("a CNAME b | c\nd CNAME b\nd TXT a\ne CNAME b\ne steer web\n@ CNAME b\nf DNAME b | c\nf CNAME b");
        let expected = [
            "2: error: `a.example.com.` has more than one CNAME",
            "3: error: `d.example.com.` has a CNAME beside",
            "5: error: `e.example.com.` has a CNAME beside",
            "7: error: `example.com.` has a CNAME beside",
            "8: error: `f.example.com.` has more than one DNAME",
            "9: error: `f.example.com.` has a CNAME beside",
        ];
        assert!(shown.lines().zip(expected).all(|(line, part)| line.starts_with(part)), "{shown}");
        assert_eq!(shown.lines().count(), expected.len());
    }

    #[test]
    fn c1_nothing_stands_below_a_dname() {
        let shown = said("old DNAME new\nx.old A 192.0.2.1\nz.y.old A 192.0.2.1\n*.w DNAME new\n*.v NS ns.example.net.");
        let expected = [
            "3: error: `x.old.example.com.` is never answered: `old.example.com.` has a DNAME",
            "4: error: `y.old.example.com.` is never answered: `old.example.com.` has a DNAME",
            "5: error: a wildcard must not have DNAME",
            "6: error: a wildcard must not have NS",
        ];
        assert!(shown.lines().zip(expected).all(|(line, part)| line.starts_with(part)), "{shown}");
        assert_eq!(shown.lines().count(), expected.len());
        assert!(
            said_of("example.com.", "@ NS ns.example.net.\n@ DNAME example.net.\nwww A 192.0.2.1")
                .contains("3: error: `www.example.com.` is never")
        );
    }

    #[test]
    fn p7_aliases_that_lead_in_a_circle_are_refused() {
        for circle in [
            "a CNAME a",
            "a CNAME b\nb CNAME a",
            "a DNAME a",
            "a DNAME b.a",
            "a DNAME b\nb DNAME a",
            "a DNAME x.b\nb DNAME y.a",
            "a DNAME b\nx.b CNAME x.a",
            "*.a CNAME x.a",
        ] {
            assert!(said(circle).contains("leads in a circle"), "{circle}: {}", said(circle));
        }
        assert_eq!(said("a DNAME b\nb DNAME c\nc DNAME example.net."), "");
        assert_eq!(said("a DNAME @"), "");
    }

    #[test]
    fn names_that_hold_the_zone_twice_are_told() {
        let shown = said("www CNAME www.example.com\nmail.example.com A 192.0.2.1\n@ TXT a");
        assert_eq!(
            shown,
            "2: warning: `www.example.com.example.com.` holds the zone's name twice\n\
             3: warning: `mail.example.com.example.com.` holds the zone's name twice\n"
        );
        assert_eq!(said_of("com.", "@ NS ns.example.net.\ncom NS ns.example.net."), "");
    }

    #[test]
    fn a_type_that_stands_twice_is_refused() {
        assert_eq!(said("a A 192.0.2.1\na TXT a\nA A 192.0.2.2"), "4: error: `A.example.com.` has A twice\n");
        assert!(said("a A 192.0.2.1\na steer web").contains("is steered and has A or AAAA"));
    }

    #[test]
    fn a_zone_needs_name_servers() {
        assert_eq!(said_of("example.com.", "www A 192.0.2.1"), "1: error: zone `example.com.` has no NS records\n");
    }
}
