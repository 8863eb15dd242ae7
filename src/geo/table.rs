//! The place table: every address of both families falls into exactly one range, and every range has exactly one place.
//! Total and disjoint by construction; a look-up never allocates, never locks and never fails.

use std::net::IpAddr;

use super::place::{Kind, Place, PlaceId, SourceId};
use super::places::{PlaceList, Places};
use super::prefix::{Family, Prefix};
use super::ranges::Ranges;
use super::special::embedded_v4;
use super::sweep::Address;

/// Scope of a block that cannot be judged because the source is too short to hold its IPv4 bits: the answer holds for
/// exactly that source, so it must not be shared (RFC 7871 section 7.2.1).
const SCOPE_OF_EMBEDDED: u8 = 128;

/// Index of a range: IPv4 ranges first, then IPv6, each in the order of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeId(pub u32);

/// What a look-up finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// The range that contains the address.
    pub range: RangeId,
    /// Its place.
    pub place: PlaceId,
    /// Bits to add to scopes and hash lengths: 0, or 96 or 16 for an IPv4 address inside an IPv6 one (S8); cap the sum at 128.
    pub shift: u8,
}

/// Every address -> range -> place. Built by [`super::build()`], never changed.
#[derive(Debug)]
pub struct PlaceTable {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    places: Places,
    /// The kind of each place once more: an octet that stays in the cache where a whole place would not.
    kinds: Box<[Kind]>,
    /// The place of the v6 blocks that hold IPv4 addresses.
    embedded: Option<PlaceId>,
    generation: u64,
}

impl PlaceTable {
    pub(crate) fn new(v4: Ranges<u32>, v6: Ranges<u128>, places: Places) -> PlaceTable {
        let all = || (0..places.len() as u32).map(PlaceId);
        let embedded = all().find(|id| places.get(*id).source == SourceId::Embedded);
        let generation = content_hash(&v4, &v6, all().map(|id| places.get(id)));
        let kinds = places.kinds().collect();
        PlaceTable { v4, v6, places, kinds, embedded, generation }
    }

    /// The leaf of an address. `source_length` is the number of its bits that are known: the ECS source prefix, or 32 or 128
    /// for a whole address. It only matters for IPv4 inside IPv6: a source too short to hold any IPv4 bit finds the
    /// (unknown) leaf of the v6 block itself.
    #[inline]
    pub fn locate(&self, address: IpAddr, source_length: u8) -> Leaf {
        match address {
            IpAddr::V4(v4) => self.leaf_v4(v4.to_bits(), 0),
            IpAddr::V6(v6) => self.leaf_v6(v6.to_bits(), source_length),
        }
    }

    /// Reads what a batch of addresses will be located by, so that it is in the cache by then. Nothing comes of it but time.
    pub fn read_ahead(&self, addresses: &[IpAddr]) {
        let v4 = |address: &IpAddr| if let IpAddr::V4(address) = address { Some(address.to_bits()) } else { None };
        let v6 = |address: &IpAddr| if let IpAddr::V6(address) = address { Some(address.to_bits()) } else { None };
        self.v4.read_ahead(addresses.iter().filter_map(v4));
        self.v6.read_ahead(addresses.iter().filter_map(v6));
    }

    /// A table that knows nothing: every address is unknown.
    pub fn empty() -> PlaceTable {
        let mut places = PlaceList::new(Vec::new());
        let unknown = places.add(&Place::default());
        PlaceTable::new(Ranges::one(unknown), Ranges::one(unknown), places.finish())
    }

    /// A place by its index; every [`PlaceId`] that this table gave is valid.
    pub fn place(&self, id: PlaceId) -> Place<'_> {
        self.places.get(id)
    }

    /// How far a place can be used.
    #[inline]
    pub fn kind(&self, id: PlaceId) -> Kind {
        self.kinds[id.0 as usize]
    }

    /// All places, by index.
    pub fn places(&self) -> impl ExactSizeIterator<Item = Place<'_>> {
        (0..self.kinds.len()).map(|index| self.places.get(PlaceId(index as u32)))
    }

    /// How many places there are.
    pub fn place_count(&self) -> usize {
        self.kinds.len()
    }

    /// The aligned block that a range covers.
    pub fn prefix_of(&self, range: RangeId) -> Prefix {
        match range.0.checked_sub(self.v4.count()) {
            None => self.v4.prefix(range.0),
            Some(index) => self.v6.prefix(index),
        }
    }

    /// All ranges of a family in the order of addresses: block and place.
    pub fn ranges(&self, family: Family) -> impl Iterator<Item = (RangeId, Prefix, PlaceId)> + '_ {
        let (start, count) = match family {
            Family::V4 => (0, self.v4.count()),
            Family::V6 => (self.v4.count(), self.v6.count()),
        };
        (start..start + count).map(move |id| (RangeId(id), self.prefix_of(RangeId(id)), self.place_of(RangeId(id))))
    }

    /// What lies in a block, in the order of addresses: each range inside, or the block itself where one range holds it. A block that carries
    /// IPv4 addresses is taken as one, by its first address.
    pub fn pieces(&self, block: Prefix) -> impl Iterator<Item = (Leaf, Prefix)> + '_ {
        let first = self.locate(block.network(), block.length());
        let last = block.last_bits();
        let end = self.v4.count() + if block.family() == Family::V4 { 0 } else { self.v6.count() };
        let inside = (first.range.0..end).map(RangeId).map_while(move |range| {
            let prefix = self.prefix_of(range);
            let leaf = Leaf { range, place: self.place_of(range), shift: 0 };
            (prefix.first_bits() <= last).then(|| (leaf, if prefix.covers(&block) { block } else { prefix }))
        });
        let is_embedded = first.shift > 0;
        is_embedded.then_some((first, block)).into_iter().chain(inside.take(if is_embedded { 0 } else { usize::MAX }))
    }

    /// The number of ranges of a family.
    pub fn range_count(&self, family: Family) -> usize {
        match family {
            Family::V4 => self.v4.count() as usize,
            Family::V6 => self.v6.count() as usize,
        }
    }

    /// For every range (by [`RangeId`]) the length of the largest aligned block around it on which `key` is constant (S1, S2);
    /// for an address in it this is the scope, before the shift of embedded IPv4 and the floor of a client hash.
    ///
    /// Blocks that hold IPv4 addresses are equal to nothing, and inside they have scope 128. Linear in the number of ranges.
    pub fn scopes<K: PartialEq + Copy>(&self, key: impl Fn(PlaceId) -> K) -> Box<[u8]> {
        let mut scopes = vec![0u8; (self.v4.count() + self.v6.count()) as usize];
        let (v4, v6) = scopes.split_at_mut(self.v4.count() as usize);
        let key = |place| (Some(place) != self.embedded).then(|| key(place));
        fill_scopes(&self.v4, v4, &key);
        fill_scopes(&self.v6, v6, &key);
        scopes.into_boxed_slice()
    }

    /// Memory of the table in octets, texts of places included.
    pub fn memory_bytes(&self) -> usize {
        self.v4.memory_bytes() + self.v6.memory_bytes() + self.places.memory_bytes() + self.kinds.len()
    }

    /// A hash of the content: tables with equal ranges and places have equal generations, so plans over them can be shared.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn leaf_v6(&self, bits: u128, source_length: u8) -> Leaf {
        if let Some((v4, shift)) = embedded_v4(bits, source_length) {
            return self.leaf_v4(v4, shift);
        }
        let (index, place) = self.v6.find(bits);
        Leaf { range: RangeId(self.v4.count() + index), place, shift: 0 }
    }

    #[inline]
    fn leaf_v4(&self, bits: u32, shift: u8) -> Leaf {
        let (index, place) = self.v4.find(bits);
        Leaf { range: RangeId(index), place, shift }
    }

    fn place_of(&self, range: RangeId) -> PlaceId {
        match range.0.checked_sub(self.v4.count()) {
            None => self.v4.place(range.0),
            Some(index) => self.v6.place(index),
        }
    }
}

/// The ranges are the leaves of a binary trie, seen from left to right: whenever the two newest blocks are siblings they
/// become their parent. A parent with equal children goes on as one block; an unequal pair fixes the scope of both sides.
fn fill_scopes<A: Address, K: PartialEq + Copy>(ranges: &Ranges<A>, scopes: &mut [u8], key: &impl Fn(PlaceId) -> Option<K>) {
    let mut stack: Vec<Block<K>> = Vec::with_capacity(usize::from(A::FAMILY.bits()) + 2);
    for range in 0..ranges.count() {
        let key = key(ranges.place(range));
        if key.is_none() {
            scopes[range as usize] = SCOPE_OF_EMBEDDED;
        }
        stack.push(Block { length: ranges.length(range), key, first: range, last: range });
        while let [.., left, right] = stack[..]
            && left.length == right.length
            && right.length > 0
            && ranges.first(right.first) >> (A::FAMILY.bits() - right.length) & 1 == 1
        {
            stack.truncate(stack.len() - 2);
            stack.push(join(left, right, scopes));
        }
    }
    stack.iter().for_each(|block| block.fix(scopes));
}

/// An aligned block of ranges `first..=last`; `key` is `None` where it is not constant.
#[derive(Clone, Copy)]
struct Block<K> {
    length: u8,
    key: Option<K>,
    first: u32,
    last: u32,
}

impl<K> Block<K> {
    /// The block cannot grow: this is the scope of all that is in it. Mixed blocks were fixed when they were joined.
    fn fix(&self, scopes: &mut [u8]) {
        if self.key.is_some() {
            scopes[self.first as usize..=self.last as usize].fill(self.length);
        }
    }
}

fn join<K: PartialEq + Copy>(left: Block<K>, right: Block<K>, scopes: &mut [u8]) -> Block<K> {
    let equal = left.key.is_some() && left.key == right.key;
    if !equal {
        left.fix(scopes);
        right.fix(scopes);
    }
    Block { length: left.length - 1, key: left.key.filter(|_| equal), first: left.first, last: right.last }
}

/// FNV-1a over 64-bit words with a final mix: the same on every machine, and quick enough for millions of ranges.
fn content_hash<'t>(v4: &Ranges<u32>, v6: &Ranges<u128>, places: impl Iterator<Item = Place<'t>>) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for range in 0..v4.count() {
        hash.word((v4.first(range) as u64) << 32 | u64::from(v4.place(range).0));
    }
    for range in 0..v6.count() {
        let first = v6.first(range);
        hash.word((first >> 64) as u64);
        hash.word(first as u64);
        hash.word(u64::from(v6.place(range).0));
    }
    for place in places {
        std::hash::Hash::hash(&place, &mut hash);
    }
    std::hash::Hasher::finish(&hash)
}

struct Fnv(u64);

impl Fnv {
    fn word(&mut self, word: u64) {
        // The rotation brings the high bits back down; a plain multiplication never does.
        self.0 = ((self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3)).rotate_left(29);
    }
}

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }
}
