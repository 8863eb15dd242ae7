//! Zone transfers, of which there are none yet: whoever asks is refused, or gets nothing where the configuration says so of him.
//! It transfers nothing; `transfers_from` can allow nobody.

use super::Page;
use crate::geo::{Access, Admission};
use crate::steer::decide::Trace;
use crate::wire::qname::QName;
use crate::wire::{Rcode, rtype};

impl<T: Trace> Page<'_, '_, T> {
    /// Refuses AXFR and IXFR. Of what the server and the zone say the most severe holds; where they say anything, the reply tells that it was they.
    #[cold]
    pub(super) fn transfer(&mut self, qname: &QName) {
        let (catalog, peer) = (&*self.world.catalog, self.ask.peer.ip());
        let zone = catalog.zones.find(qname, rtype::SOA).map(|found| found.zone);
        let of_zone = zone.map_or([None, None], |zone| [zone.queries_from.as_ref(), zone.transfers_from.as_ref()]);
        let rules: [Option<&Access>; 3] = [catalog.settings.transfers_from.as_ref(), of_zone[0], of_zone[1]];
        let first = |verdict| rules.into_iter().flatten().find(|access| access.of(peer) == verdict);
        if let Some(access) = first(Admission::Drop).or_else(|| first(Admission::Refuse)) {
            self.admits(access);
        } else {
            self.refuse(Rcode::REFUSED);
        }
    }
}
