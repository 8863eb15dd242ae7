//! Zone transfers, of which there are none yet: whoever asks is refused, or gets nothing where the configuration says so of him.
//! It transfers nothing; `transfers_from` can allow nobody.

use super::Page;
use crate::geo::{Access, Admission};
use crate::steer::decide::Trace;
use crate::wire::qname::QName;
use crate::wire::{Rcode, rtype};

impl<'a, T: Trace> Page<'a, '_, T> {
    /// Refuses AXFR and IXFR. Of what the server and the zone say the most severe holds; where they say anything, the reply tells that it was they.
    #[cold]
    pub(super) fn transfer(&mut self, qname: &QName) {
        let (rules, peer) = (self.rules(qname), self.ask.peer.ip());
        let first = |verdict| rules.into_iter().flatten().find(|access| access.of(peer) == verdict);
        if let Some(access) = first(Admission::Drop).or_else(|| first(Admission::Refuse)) {
            self.admits(access);
        } else {
            self.refuse(Rcode::REFUSED);
        }
    }

    /// What the server and the zone of a name say of who may ask for it, or for all of the zone.
    pub(super) fn rules(&self, qname: &QName) -> [Option<&'a Access>; 3] {
        let catalog = &*self.world.catalog;
        let zone = catalog.zones.find(qname, rtype::SOA).map(|found| found.zone);
        let of_zone = zone.and_then(|zone| zone.queries_from.as_ref());
        if !matches!(self.query.question.qtype, rtype::AXFR | rtype::IXFR) {
            return [of_zone, None, None];
        }
        [catalog.settings.transfers_from.as_ref(), of_zone, zone.and_then(|zone| zone.transfers_from.as_ref())]
    }
}
