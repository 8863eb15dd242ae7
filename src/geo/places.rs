//! Places as a table keeps them: forty octets each, with the texts and the named prefixes that they share kept once beside them.
//! It judges nothing: what was put in comes out again, bit for bit.

use super::intern::Interned;
use super::place::{Code, Kind, Place, PlaceId, Point, RegionId, SourceId};
use super::prefix::Prefix;

/// Nothing, where a number is kept: no point has such bits, no text, region or prefix such a number, and AS 4294967295 is reserved (RFC 7300).
const NO_POINT: u64 = u64::MAX;
const NO_NUMBER: u32 = u32::MAX;
const NO_REGION: u16 = u16::MAX;
const NO_CODE: [u8; 2] = [0; 2];

/// Sources that are no files; those of files are numbered from 0, and there are at most [`super::build::MAX_SOURCES`].
const FIRST_NO_FILE: u8 = 252;
const NO_FILES: [SourceId; 4] = [SourceId::Override, SourceId::BuiltIn, SourceId::Embedded, SourceId::None];

/// All places of a table, by [`PlaceId`].
#[derive(Debug)]
pub(crate) struct Places {
    packed: Box<[Packed]>,
    /// All texts one behind the other, and where each ends.
    texts: Box<str>,
    text_ends: Box<[u32]>,
    named: Box<[Prefix]>,
}

/// One place without padding; texts and prefixes by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Packed {
    latitude: u64,
    longitude: u64,
    subdivision: u32,
    city: u32,
    asn: u32,
    named: u32,
    pin: u16,
    continent: [u8; 2],
    country: [u8; 2],
    source: u8,
    kind: Kind,
}

impl Places {
    /// A place; every id that the loom gave is valid.
    pub(crate) fn get(&self, id: PlaceId) -> Place<'_> {
        let packed = &self.packed[id.0 as usize];
        let coordinates = (packed.latitude != NO_POINT).then(|| (f64::from_bits(packed.latitude), f64::from_bits(packed.longitude)));
        Place {
            point: coordinates.and_then(|(latitude, longitude)| Point::new(latitude, longitude).ok()),
            continent: code(packed.continent),
            country: code(packed.country),
            subdivision: self.text(packed.subdivision),
            city: self.text(packed.city),
            asn: (packed.asn != NO_NUMBER).then_some(packed.asn),
            pin: (packed.pin != NO_REGION).then_some(RegionId(packed.pin)),
            named: self.named.get(packed.named as usize).copied(),
            source: source(packed.source),
            kind: packed.kind,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.packed.len()
    }

    /// The kinds of all places, by id.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.packed.iter().map(|packed| packed.kind)
    }

    /// In octets.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.packed) + self.texts.len() + size_of_val(&*self.text_ends) + size_of_val(&*self.named)
    }

    fn text(&self, number: u32) -> Option<&str> {
        let end = *self.text_ends.get(number as usize)? as usize;
        let start = (number as usize).checked_sub(1).map_or(0, |before| self.text_ends[before] as usize);
        Some(&self.texts[start..end])
    }
}

/// Places while they are collected.
pub(crate) struct PlaceList {
    packed: Interned<Packed>,
    texts: Interned<Box<str>>,
    /// Sorted.
    named: Vec<Prefix>,
}

impl PlaceList {
    /// No place yet; `named` are all prefixes that a place may name, sorted.
    pub(crate) fn new(named: Vec<Prefix>) -> PlaceList {
        PlaceList { packed: Interned::default(), texts: Interned::default(), named }
    }

    /// The prefixes that places may name.
    pub(crate) fn named(&self) -> &[Prefix] {
        &self.named
    }

    /// The id of an equal place, or a new one.
    pub(crate) fn add(&mut self, place: &Place<'_>) -> PlaceId {
        let named = place.named.and_then(|prefix| self.named.binary_search(&prefix).ok());
        let packed = Packed {
            latitude: place.point.map_or(NO_POINT, |point| point.latitude().to_bits()),
            longitude: place.point.map_or(NO_POINT, |point| point.longitude().to_bits()),
            subdivision: self.text(place.subdivision),
            city: self.text(place.city),
            asn: place.asn.unwrap_or(NO_NUMBER),
            named: named.map_or(NO_NUMBER, |index| index as u32),
            pin: place.pin.map_or(NO_REGION, |region| region.0),
            continent: place.continent.map_or(NO_CODE, Code::letters),
            country: place.country.map_or(NO_CODE, Code::letters),
            source: source_number(place.source),
            kind: place.kind,
        };
        // Numbers of interned values start at 1, ids at 0.
        PlaceId(self.packed.number(packed) - 1)
    }

    /// All of them.
    pub(crate) fn finish(self) -> Places {
        let mut texts = String::with_capacity(self.texts.list.iter().map(|text| text.len()).sum());
        let mut text_ends = Vec::with_capacity(self.texts.list.len());
        for text in &self.texts.list {
            texts.push_str(text);
            text_ends.push(texts.len() as u32);
        }
        Places { packed: self.packed.list.into(), texts: texts.into(), text_ends: text_ends.into(), named: self.named.into() }
    }

    fn text(&mut self, text: Option<&str>) -> u32 {
        text.map_or(NO_NUMBER, |text| self.texts.number(text.into()) - 1)
    }
}

fn code(letters: [u8; 2]) -> Option<Code> {
    std::str::from_utf8(&letters).ok().and_then(Code::parse)
}

fn source(number: u8) -> SourceId {
    let no_file = number.checked_sub(FIRST_NO_FILE).and_then(|index| NO_FILES.get(usize::from(index)));
    no_file.copied().unwrap_or(SourceId::File(u16::from(number)))
}

fn source_number(source: SourceId) -> u8 {
    match source {
        SourceId::File(index) => index.min(u16::from(FIRST_NO_FILE) - 1) as u8,
        other => FIRST_NO_FILE + NO_FILES.iter().position(|known| *known == other).unwrap_or(NO_FILES.len() - 1) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_out_as_it_went_in_and_equal_ones_share_an_id() {
        let named: Prefix = "10.0.0.0/8".parse().unwrap();
        let full = Place {
            point: Point::new(-12.5, 0.0).ok(),
            continent: Code::parse("EU"),
            country: Code::parse("FR"),
            subdivision: Some("IDF"),
            city: Some("Évry"),
            asn: Some(0),
            pin: Some(RegionId(7)),
            named: Some(named),
            source: SourceId::File(15),
            kind: Kind::Located,
        };
        let kinds = [Kind::Unknown, Kind::UsePeer, Kind::Unknown, Kind::Unknown];
        let others = NO_FILES.iter().zip(kinds).map(|(source, kind)| Place { source: *source, kind, ..Place::default() });
        let all: Vec<Place<'_>> =
            [full, Place { city: Some(""), ..full }, Place { subdivision: None, ..full }].into_iter().chain(others).collect();
        let mut list = PlaceList::new(vec!["9.0.0.0/8".parse().unwrap(), named]);
        let ids: Vec<PlaceId> = all.iter().chain(&all).map(|place| list.add(place)).collect();
        let places = list.finish();
        assert_eq!(places.len(), all.len());
        for (id, place) in ids.iter().zip(all.iter().chain(&all)) {
            assert_eq!(places.get(*id), *place);
        }
    }

    #[test]
    fn a_place_takes_forty_octets() {
        assert_eq!(size_of::<Packed>(), 40);
    }
}
