//! The loom: layers of networks swept together, each segment's values laid over each other into a place, equal neighbours merged.
//! It never searches a prefix and never builds a trie; every network is visited once, in the order of addresses.

use super::build::{BuildError, Inputs, MAX_RANGES, Override};
use super::intern::{Interned, LoadMap};
use super::place::{Fields, Kind, Place, PlaceId, RegionId, SourceId};
use super::places::{PlaceList, Places};
use super::prefix::Prefix;
use super::ranges::{RangeList, Ranges};
use super::source::{Rows, builtin};
use super::special::{EMBEDDED, RESERVED};
use super::sweep::{Address, Layer, NOTHING, Net, cut, sort, sweep};

/// The layers in front of the geo files in every segment's values.
const OVERRIDE: usize = 0;
const NAMED: usize = 1;
const RESERVATION: usize = 2;
const EMBEDMENT: usize = 3;
const FIRST_SOURCE: usize = 4;

/// Every system that nobody names: all are one, which splits nothing, but hides what later files say as a named one does.
const UNNAMED: u32 = u32::MAX;

/// Numbered content of all layers; 0 is [`NOTHING`] in each.
pub(crate) struct Loom {
    overrides: Interned<(Fields, Option<RegionId>)>,
    override_nets: Vec<(Prefix, u32)>,
    sources: Vec<Rows>,
    /// For each source: record number -> layer value, after systems that nobody names were made one.
    values: Vec<Vec<u32>>,
    /// For each source: layer value -> fields.
    fields: Vec<Interned<Fields>>,
    places: PlaceList,
    /// Values of a segment -> place.
    seen: LoadMap<Box<[u32]>, PlaceId>,
    /// The same for segments of which only one geo file speaks, which are nearly all: by file and value.
    seen_alone: Vec<Vec<Option<PlaceId>>>,
}

impl Loom {
    /// Numbers the content of all layers.
    pub(crate) fn new(inputs: Inputs) -> Loom {
        let Inputs { overrides, sources, mut named_prefixes, named_asns } = inputs;
        named_prefixes.sort();
        named_prefixes.dedup();
        let named = |asn| if named_asns.contains(&asn) { asn } else { UNNAMED };
        let keep = |fields: Fields| Fields { asn: fields.asn.map(named), ..fields };
        let mut override_values = Interned::default();
        let number = |entry: Override| (entry.prefix, override_values.number((keep(entry.fields), entry.pin)));
        let mut override_nets: Vec<(Prefix, u32)> = overrides.into_iter().map(number).collect();
        override_nets.sort();
        override_nets.dedup();
        let mut loom = Loom {
            overrides: override_values,
            override_nets,
            sources,
            values: Vec::new(),
            fields: Vec::new(),
            places: PlaceList::new(named_prefixes),
            seen: LoadMap::default(),
            seen_alone: Vec::new(),
        };
        for rows in &mut loom.sources {
            let mut distinct = Interned::default();
            let records = std::mem::take(&mut rows.records).into_iter().map(keep);
            loom.values.push(records.map(|fields| if fields.is_empty() { NOTHING } else { distinct.number(fields) }).collect());
            loom.seen_alone.push(vec![None; distinct.list.len() + 1]);
            loom.fields.push(distinct);
        }
        loom
    }

    /// The ranges of one family. Each family is woven once: its networks are used up.
    pub(crate) fn weave<A: Address + FamilyRows>(&mut self) -> Result<Ranges<A>, BuildError> {
        let front = self.front_layers::<A>();
        let mut sources: Vec<Vec<Net<A>>> = Vec::with_capacity(self.sources.len());
        for (rows, values) in self.sources.iter_mut().zip(&self.values) {
            // Taken, not copied: with four million networks this is most of the peak.
            let mut nets = A::take(rows);
            nets.iter_mut().for_each(|net| net.value = values.get(net.value as usize).copied().unwrap_or(NOTHING));
            sources.push(nets);
        }
        let mut layers: Vec<Layer<'_, A>> = front.iter().chain(&sources).map(|nets| Layer::new(nets)).collect();
        let mut cloth = Cloth { ranges: RangeList::new(), pending: None };
        sweep(&mut layers, |first, last, values| cloth.add(first, last, self.place(values)))?;
        cloth.finish()
    }

    /// The places of all families woven so far, by [`PlaceId`].
    pub(crate) fn into_places(self) -> Places {
        self.places.finish()
    }

    fn front_layers<A: Address>(&self) -> [Vec<Net<A>>; FIRST_SOURCE] {
        let of = |prefix: &Prefix| prefix.family() == A::FAMILY;
        let named = (1u32..).zip(self.places.named());
        let mut layers = [
            self.override_nets.iter().filter(|(p, _)| of(p)).map(|(p, value)| Net::new(p, *value)).collect(),
            named.filter(|(_, p)| of(p)).map(|(value, p)| Net::new(p, value)).collect(),
            RESERVED.iter().filter(|row| of(&row.prefix)).map(|row| Net::new(&row.prefix, 1)).collect(),
            EMBEDDED.iter().filter(|row| of(&row.prefix)).map(|row| Net::new(&row.prefix, 1)).collect(),
        ];
        layers.iter_mut().for_each(|nets: &mut Vec<Net<A>>| sort(nets));
        layers
    }

    /// The place of a segment by the values of its layers.
    fn place(&mut self, values: &[u32]) -> PlaceId {
        let alone = alone(values);
        let seen = match alone {
            Some((source, value)) => self.seen_alone[source][value],
            None => self.seen.get(values).copied(),
        };
        if let Some(id) = seen {
            return id;
        }
        let id = self.lay_over(values);
        match alone {
            Some((source, value)) => self.seen_alone[source][value] = Some(id),
            None => _ = self.seen.insert(values.into(), id),
        }
        id
    }

    fn lay_over(&mut self, values: &[u32]) -> PlaceId {
        if values[EMBEDMENT] != NOTHING {
            return self.places.add(&Place { source: SourceId::Embedded, ..Place::default() });
        }
        let mut fields = Fields::default();
        let (mut first_source, mut point_source) = (None, None);
        let (mut pin, mut matched) = (None, false);
        let mut lay = |more: &Fields, source: SourceId| {
            let had_point = fields.point.is_some();
            if fields.fill_from(more) {
                first_source = first_source.or(Some(source));
            }
            if !had_point && fields.point.is_some() {
                point_source = Some(source);
            }
        };
        if let Some((said, region)) = self.overrides.get(values[OVERRIDE]) {
            lay(said, SourceId::Override);
            (pin, matched) = (*region, true);
        }
        for (index, (value, distinct)) in values[FIRST_SOURCE..].iter().zip(&self.fields).enumerate() {
            if let Some(said) = distinct.get(*value) {
                lay(said, if self.sources[index].built_in { SourceId::BuiltIn } else { SourceId::File(index as u16) });
                matched = true;
            }
        }
        let source = point_source.or(first_source).unwrap_or(if pin.is_some() { SourceId::Override } else { SourceId::None });
        let country = fields.country.and_then(builtin::country);
        if let Some(country) = country {
            // G5: a record without coordinates has its country's point; a continent alone gives none.
            fields.fill_from(&Fields { point: Some(country.point), continent: Some(country.continent), ..Fields::default() });
        }
        let kind = match (fields.point, matched, values[RESERVATION] != NOTHING) {
            (Some(_), _, _) => Kind::Located,
            (None, false, true) => Kind::UsePeer,
            _ => Kind::Unknown,
        };
        let named = (values[NAMED] as usize).checked_sub(1).and_then(|i| self.places.named().get(i)).copied();
        let Fields { point, continent, country, subdivision, city, asn } = &fields;
        let (subdivision, city) = (subdivision.as_deref(), city.as_deref());
        let (point, continent, country, asn) = (*point, *continent, *country, asn.filter(|asn| *asn != UNNAMED));
        self.places.add(&Place { point, continent, country, subdivision, city, asn, pin, named, source, kind })
    }
}

/// The file and its value, where nobody else speaks of a segment.
fn alone(values: &[u32]) -> Option<(usize, usize)> {
    let (front, sources) = values.split_at(FIRST_SOURCE);
    let mut speaking = sources.iter().enumerate().filter(|(_, value)| **value != NOTHING);
    let (source, value) = speaking.next()?;
    let is_alone = front.iter().all(|value| *value == NOTHING) && speaking.next().is_none();
    is_alone.then_some((source, *value as usize))
}

/// The ranges of one family as they come off the sweep: equal neighbours merged, then cut into aligned blocks.
struct Cloth<A: Address> {
    ranges: RangeList<A>,
    pending: Option<(u128, u128, PlaceId)>,
}

impl<A: Address> Cloth<A> {
    fn add(&mut self, first: u128, last: u128, place: PlaceId) -> Result<(), BuildError> {
        match &mut self.pending {
            Some((_, end, same)) if *same == place => *end = last,
            _ => {
                self.flush();
                self.pending = Some((first, last, place));
            }
        }
        if self.ranges.len() > MAX_RANGES { Err(BuildError::TooManyRanges) } else { Ok(()) }
    }

    fn flush(&mut self) {
        if let Some((first, last, place)) = self.pending.take() {
            cut(A::FAMILY, first, last, |block, _| self.ranges.push(A::narrow(block), place));
        }
    }

    fn finish(mut self) -> Result<Ranges<A>, BuildError> {
        self.flush();
        Ok(self.ranges.finish())
    }
}

/// Which list of a source's rows belongs to an address type.
pub(crate) trait FamilyRows: Address {
    /// Takes the networks out of the rows.
    fn take(rows: &mut Rows) -> Vec<Net<Self>>;
}

impl FamilyRows for u32 {
    fn take(rows: &mut Rows) -> Vec<Net<u32>> {
        std::mem::take(&mut rows.v4)
    }
}

impl FamilyRows for u128 {
    fn take(rows: &mut Rows) -> Vec<Net<u128>> {
        std::mem::take(&mut rows.v6)
    }
}
