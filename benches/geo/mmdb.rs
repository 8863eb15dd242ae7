//! A small writer of MaxMind DB files (format 2.0, records of 32 bits), for worlds that are made up.
//! It is no library: it trusts its input, and writes what a City edition holds.

/// Bits of ::/96, where IPv4 lies in the tree.
pub(crate) const V4_BITS_BEFORE: u8 = 96;

/// Child of a node: nothing, another node, or a record.
const EMPTY: u32 = u32::MAX;
const IS_RECORD: u32 = 1 << 31;

/// What is said of a network.
pub(crate) struct Record {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) continent: &'static str,
    pub(crate) country: &'static str,
    pub(crate) subdivision: String,
    pub(crate) city: String,
}

/// The file of disjoint networks: first address, prefix length, index of the record.
pub(crate) fn write(networks: impl Iterator<Item = (u128, u8, u32)>, records: &[Record]) -> Vec<u8> {
    let mut tree = Tree { nodes: vec![[EMPTY; 2]] };
    for (first, length, record) in networks {
        tree.insert(first, length, record);
    }
    let (data, offsets) = encode(records);
    let count = tree.nodes.len() as u32;
    let mut file = Vec::with_capacity(tree.nodes.len() * 8 + data.len() + 1024);
    for child in tree.nodes.iter().flatten() {
        let value = match *child {
            EMPTY => count,
            record if record & IS_RECORD != 0 => count + 16 + offsets[(record & !IS_RECORD) as usize],
            node => node,
        };
        file.extend_from_slice(&value.to_be_bytes());
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    metadata(&mut file, count);
    file
}

struct Tree {
    nodes: Vec<[u32; 2]>,
}

impl Tree {
    fn insert(&mut self, first: u128, length: u8, record: u32) {
        let mut node = 0;
        for depth in 0..length {
            let side = (first >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                self.nodes[node][side] = IS_RECORD | record;
            } else {
                if self.nodes[node][side] == EMPTY {
                    self.nodes.push([EMPTY; 2]);
                    self.nodes[node][side] = self.nodes.len() as u32 - 1;
                }
                node = self.nodes[node][side] as usize;
            }
        }
    }
}

/// The data section, and where in it each record begins.
fn encode(records: &[Record]) -> (Vec<u8>, Vec<u32>) {
    let mut data = Vec::new();
    let mut offsets = Vec::with_capacity(records.len());
    for record in records {
        offsets.push(data.len() as u32);
        map(&mut data, 5);
        text(&mut data, "city");
        map(&mut data, 2);
        text(&mut data, "geoname_id");
        number(&mut data, 6, offsets.len() as u64);
        text(&mut data, "names");
        map(&mut data, 1);
        text(&mut data, "en");
        text(&mut data, &record.city);
        coded(&mut data, "continent", "code", record.continent);
        coded(&mut data, "country", "iso_code", record.country);
        text(&mut data, "location");
        map(&mut data, 3);
        text(&mut data, "accuracy_radius");
        number(&mut data, 5, 20);
        text(&mut data, "latitude");
        double(&mut data, record.latitude);
        text(&mut data, "longitude");
        double(&mut data, record.longitude);
        text(&mut data, "subdivisions");
        data.extend_from_slice(&[1, 4]);
        map(&mut data, 1);
        text(&mut data, "iso_code");
        text(&mut data, &record.subdivision);
    }
    (data, offsets)
}

fn coded(data: &mut Vec<u8>, key: &str, inner: &str, value: &str) {
    text(data, key);
    map(data, 1);
    text(data, inner);
    text(data, value);
}

fn metadata(file: &mut Vec<u8>, node_count: u32) {
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    map(file, 9);
    text(file, "binary_format_major_version");
    number(file, 5, 2);
    text(file, "binary_format_minor_version");
    number(file, 5, 0);
    text(file, "build_epoch");
    number(file, 9, 1_750_000_000);
    text(file, "database_type");
    text(file, "Synthetic-City");
    text(file, "description");
    map(file, 0);
    text(file, "ip_version");
    number(file, 5, 6);
    text(file, "languages");
    file.extend_from_slice(&[0, 4]);
    text(file, "node_count");
    number(file, 6, u64::from(node_count));
    text(file, "record_size");
    number(file, 5, 32);
}

fn map(data: &mut Vec<u8>, entries: u8) {
    data.push(7 << 5 | entries);
}

fn text(data: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(short @ 0..29) => data.push(2 << 5 | short),
        Ok(length) => data.extend_from_slice(&[2 << 5 | 29, length - 29]),
        Err(_) => panic!("a text of more than 255 octets"),
    }
    data.extend_from_slice(text.as_bytes());
}

fn double(data: &mut Vec<u8>, value: f64) {
    data.push(3 << 5 | 8);
    data.extend_from_slice(&value.to_be_bytes());
}

/// An unsigned number of a type: 5 (16 bits), 6 (32 bits), 9 (64 bits); leading zeros are left out.
fn number(data: &mut Vec<u8>, kind: u8, value: u64) {
    let octets = value.to_be_bytes();
    let octets = &octets[value.leading_zeros() as usize / 8..];
    match kind {
        0..8 => data.push(kind << 5 | octets.len() as u8),
        _ => data.extend_from_slice(&[octets.len() as u8, kind - 7]),
    }
    data.extend_from_slice(octets);
}
