//! The builder: overrides, geo files, named prefixes and reserved blocks laid over each other into one place table.
//! It never reads a file; it is given rows and gives a table that is total and disjoint, or says why not.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::intern::Interned;
use super::place::{Fields, Kind, Place, PlaceId, RegionId, SourceId};
use super::prefix::Prefix;
use super::source::{Rows, builtin};
use super::special::{EMBEDDED, RESERVED};
use super::sweep::{Address, Layer, NOTHING, Net, cut, sort, sweep};
use super::table::{PlaceTable, Ranges};

/// At most this many geo files: each costs a layer of every look-up at build time, and nobody has more vendors.
pub const MAX_SOURCES: usize = 16;

/// At most this many ranges of both families, eight times the largest databases sold: the table stays under 1 GiB.
pub const MAX_RANGES: usize = 32 << 20;

/// One entry of `networks:`, with its region's point already filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The block that it speaks of.
    pub prefix: Prefix,
    /// What it says; fields that are missing keep the geo data's value.
    pub fields: Fields,
    /// The region to rank first, where the entry names one.
    pub pin: Option<RegionId>,
}

/// All that a table is made of.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Entries of `networks:`; the longest prefix wins, and they win over the geo data.
    pub overrides: Vec<Override>,
    /// Geo files in order; each field comes from the first that has it.
    pub sources: Vec<Rows>,
    /// Every prefix that a rule or a latency table names: an edge of the table even where the geo data has none.
    pub named_prefixes: Vec<Prefix>,
    /// Every autonomous system that a rule or a table names; others are dropped, so that they do not split ranges.
    pub named_asns: BTreeSet<u32>,
}

/// Why no table can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildError {
    /// Two overrides speak of the same block and say different things (G6); indices into [`Inputs::overrides`].
    Conflict {
        /// The earlier one.
        first: usize,
        /// The later one.
        second: usize,
        /// The block.
        prefix: Prefix,
    },
    /// More than [`MAX_SOURCES`] geo files.
    TooManySources,
    /// More than [`MAX_RANGES`] ranges.
    TooManyRanges,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Conflict { prefix, .. } => write!(f, "network `{prefix}` is given twice with different values"),
            BuildError::TooManySources => write!(f, "more than {MAX_SOURCES} geo files"),
            BuildError::TooManyRanges => write!(f, "the geo data splits the address space into more than {MAX_RANGES} ranges"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Builds the table. O(n log n) in the number of networks, one pass over each sorted source, no trie.
pub fn build(inputs: Inputs) -> Result<PlaceTable, BuildError> {
    if inputs.sources.len() > MAX_SOURCES {
        return Err(BuildError::TooManySources);
    }
    if let Some(&(first, second)) = conflicting_overrides(&inputs.overrides).first() {
        return Err(BuildError::Conflict { first, second, prefix: inputs.overrides[first].prefix });
    }
    let mut loom = Loom::new(inputs);
    let v4 = loom.weave::<u32>()?;
    let v6 = loom.weave::<u128>()?;
    Ok(PlaceTable::new(v4, v6, loom.places.list))
}

/// Pairs of overrides (indices, earlier first) that speak of the same block and say different things (G6).
pub fn conflicting_overrides(overrides: &[Override]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..overrides.len()).collect();
    order.sort_by_key(|i| overrides[*i].prefix);
    let same_block = |pair: &&[usize]| overrides[pair[0]].prefix == overrides[pair[1]].prefix;
    // Of three that speak of one block, two neighbours differ if any two do.
    let pairs = order.windows(2).filter(same_block).filter(|pair| overrides[pair[0]] != overrides[pair[1]]);
    let mut pairs: Vec<(usize, usize)> = pairs.map(|pair| (pair[0], pair[1])).collect();
    pairs.sort_unstable();
    pairs
}

/// The layers in front of the geo files in every segment's values.
const OVERRIDE: usize = 0;
const NAMED: usize = 1;
const RESERVATION: usize = 2;
const EMBEDMENT: usize = 3;
const FIRST_SOURCE: usize = 4;

/// Numbered content of all layers; 0 is [`NOTHING`] in each.
struct Loom {
    overrides: Interned<(Fields, Option<RegionId>)>,
    override_nets: Vec<(Prefix, u32)>,
    named: Vec<Prefix>,
    sources: Vec<Rows>,
    /// For each source: record number -> layer value, after dropping systems that nobody names.
    values: Vec<Vec<u32>>,
    /// For each source: layer value -> fields.
    fields: Vec<Interned<Fields>>,
    places: Interned<Place>,
    /// Values of a segment -> place.
    seen: HashMap<Box<[u32]>, PlaceId>,
}

impl Loom {
    fn new(inputs: Inputs) -> Loom {
        let Inputs { overrides, sources, mut named_prefixes, named_asns } = inputs;
        named_prefixes.sort();
        named_prefixes.dedup();
        let keep = |fields: Fields| Fields { asn: fields.asn.filter(|asn| named_asns.contains(asn)), ..fields };
        let mut override_values = Interned::default();
        let number = |entry: Override| (entry.prefix, override_values.number((keep(entry.fields), entry.pin)));
        let mut override_nets: Vec<(Prefix, u32)> = overrides.into_iter().map(number).collect();
        override_nets.sort();
        override_nets.dedup();
        let mut loom = Loom {
            overrides: override_values,
            override_nets,
            named: named_prefixes,
            sources,
            values: Vec::new(),
            fields: Vec::new(),
            places: Interned::default(),
            seen: HashMap::new(),
        };
        for rows in &mut loom.sources {
            let mut distinct = Interned::default();
            let records = std::mem::take(&mut rows.records).into_iter().map(keep);
            loom.values.push(records.map(|fields| if fields.is_empty() { NOTHING } else { distinct.number(fields) }).collect());
            loom.fields.push(distinct);
        }
        loom
    }

    fn weave<A: Address + FamilyRows>(&mut self) -> Result<Ranges<A>, BuildError> {
        let front = self.front_layers::<A>();
        let mut sources: Vec<Vec<Net<A>>> = Vec::with_capacity(self.sources.len());
        for (rows, values) in self.sources.iter_mut().zip(&self.values) {
            // Taken, not copied: with four million networks this is most of the peak.
            let mut nets = A::take(rows);
            nets.iter_mut().for_each(|net| net.value = values.get(net.value as usize).copied().unwrap_or(NOTHING));
            sources.push(nets);
        }
        let mut layers: Vec<Layer<'_, A>> = front.iter().chain(&sources).map(|nets| Layer::new(nets)).collect();
        let mut cloth = Cloth { starts: Vec::new(), places: Vec::new(), pending: None };
        sweep(&mut layers, |first, last, values| cloth.add(first, last, self.place(values)))?;
        cloth.finish()
    }

    fn front_layers<A: Address>(&self) -> [Vec<Net<A>>; FIRST_SOURCE] {
        let of = |prefix: &Prefix| prefix.family() == A::FAMILY;
        let named = (1u32..).zip(&self.named);
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
        if let Some(id) = self.seen.get(values) {
            return *id;
        }
        let place = self.lay_over(values);
        // Numbers of interned values start at 1, places at 0.
        let id = PlaceId(self.places.number(place) - 1);
        self.seen.insert(values.into(), id);
        id
    }

    fn lay_over(&self, values: &[u32]) -> Place {
        if values[EMBEDMENT] != NOTHING {
            return assemble(Fields::default(), None, None, SourceId::Embedded, Kind::Unknown);
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
        let named = (values[NAMED] as usize).checked_sub(1).and_then(|i| self.named.get(i)).copied();
        assemble(fields, pin, named, source, kind)
    }
}

fn assemble(fields: Fields, pin: Option<RegionId>, named: Option<Prefix>, source: SourceId, kind: Kind) -> Place {
    let Fields { point, continent, country, subdivision, city, asn } = fields;
    Place { point, continent, country, subdivision, city, asn, pin, named, source, kind }
}

/// The ranges of one family as they come off the sweep: equal neighbours merged, then cut into aligned blocks.
struct Cloth<A> {
    starts: Vec<A>,
    places: Vec<PlaceId>,
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
        if self.starts.len() > MAX_RANGES { Err(BuildError::TooManyRanges) } else { Ok(()) }
    }

    fn flush(&mut self) {
        if let Some((first, last, place)) = self.pending.take() {
            cut(A::FAMILY, first, last, |block, _| {
                self.starts.push(A::narrow(block));
                self.places.push(place);
            });
        }
    }

    fn finish(mut self) -> Result<Ranges<A>, BuildError> {
        self.flush();
        self.starts.shrink_to_fit();
        self.places.shrink_to_fit();
        Ok(Ranges::new(self.starts, self.places))
    }
}

/// Which list of a source's rows belongs to an address type.
trait FamilyRows: Address {
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
