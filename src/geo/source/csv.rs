//! Geo data as CSV: a header line with column names, one network a line, `#` for comments (quoting as in RFC 4180).
//! It never guesses a column: each error names its line and column, and a file with one error gives no rows.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::{Collector, MAX_NETWORKS, Rows, clean_name, clean_subdivision, doubles};
use crate::diag::{Diagnostics, MAX_DIAGNOSTICS, Mark, Source, nearest};
use crate::geo::place::{Code, Fields, Point};
use crate::geo::prefix::{Prefix, PrefixError};
use crate::geo::special::is_embedded;
use crate::geo::sweep::{Address, Net};
use crate::number;

/// The columns that are read; only `network` is needed, the order is free, others are left out with a warning.
/// `region` counts in a file of overrides only: vendors use that word for a subdivision's name.
pub const COLUMNS: [&str; 9] = ["network", "latitude", "longitude", "country", "continent", "subdivision", "city", "asn", "region"];

/// Most columns in a line: vendors have about 20, and a line of a million commas must stay cheap.
const MAX_COLUMNS: usize = 64;

/// Reads a geo file.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Rows, Diagnostics> {
    let mut collector = Collector::default();
    // A network's value is its row at first, so that doubles can be told with their lines.
    let mut rows: Vec<(u32, u32)> = Vec::new();
    let mut warnings = Diagnostics::new();
    let mut page = Page::open(path, bytes, false)?;
    page.each_row(&mut warnings, |row, _| {
        let record = collector.record(row.fields);
        collector.push(&row.prefix, rows.len() as u32);
        rows.push((record, row.line));
        Ok(())
    });
    collector.sort();
    page.report_doubles(&collector.v4, &rows);
    page.report_doubles(&collector.v6, &rows);
    page.close()?;
    let embedded = collector.v6.iter().filter(|net| is_embedded(&net.prefix())).count();
    if embedded > 0 {
        let text =
            format!("{embedded} networks lie in blocks of IPv6 that hold IPv4 addresses, which are looked up as IPv4: they are never met");
        warnings.warning_hint(Mark::path(path), text, "leave out `::ffff:0:0/96`, `64:ff9b::/96` and `2002::/16`");
    }
    collector.v4.iter_mut().for_each(|net| net.value = rows[net.value as usize].0);
    collector.v6.iter_mut().for_each(|net| net.value = rows[net.value as usize].0);
    Ok(collector.finish(path, None, warnings))
}

/// One line of a CSV file of overrides.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkRow {
    /// The block.
    pub prefix: Prefix,
    /// What is said of it.
    pub fields: Fields,
    /// The name of a region, from the column `region`.
    pub region: Option<Box<str>>,
    /// The line, from 1.
    pub line: u32,
}

/// Reads a CSV file of overrides (`networks:`): the same columns and `region`. Doubles are left to the check over all overrides.
pub fn read_networks(path: &Path, bytes: &[u8]) -> Result<Vec<NetworkRow>, Diagnostics> {
    let mut rows = Vec::new();
    let mut page = Page::open(path, bytes, true)?;
    page.each_row(&mut Diagnostics::new(), |row, region| {
        let NetworkLine { prefix, fields, line } = row;
        if region.is_none() && fields.is_empty() {
            return Err("says nothing of its network".to_owned());
        }
        rows.push(NetworkRow { prefix, fields, region: region.and_then(clean_name), line });
        Ok(())
    });
    page.close()?;
    Ok(rows)
}

/// A checked line.
struct NetworkLine {
    prefix: Prefix,
    fields: Fields,
    line: u32,
}

/// A cell with the column where it starts (from 1, in characters).
pub(crate) struct Cell<'t> {
    pub(crate) text: Cow<'t, str>,
    pub(crate) column: u32,
}

/// The text of a file with all that was found wrong in it.
struct Page<'t> {
    path: &'t Path,
    text: &'t str,
    /// Made at the first fault only: a good file is not copied.
    source: Option<Arc<Source>>,
    faults: Diagnostics,
    fault_count: usize,
    /// A file of overrides, not of geo data.
    overrides: bool,
}

impl<'t> Page<'t> {
    fn open(path: &'t Path, bytes: &'t [u8], overrides: bool) -> Result<Page<'t>, Diagnostics> {
        let page = |text| Page { path, text, source: None, faults: Diagnostics::new(), fault_count: 0, overrides };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(page(text.strip_prefix('\u{feff}').unwrap_or(text))),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
                Err(super::refusal(path, format!("line {line} is not UTF-8 text"), "save the file as UTF-8"))
            }
        }
    }

    fn close(self) -> Result<(), Diagnostics> {
        if self.faults.has_errors() { Err(self.faults) } else { Ok(()) }
    }

    fn mark(&mut self, line: u32, column: u32) -> Mark {
        let source = self.source.get_or_insert_with(|| Source::new(self.path, self.text));
        Mark::new(source, line, column)
    }

    fn fault(&mut self, line: u32, column: u32, text: impl Into<String>, hint: Option<String>) {
        let mark = self.mark(line, column);
        self.fault_count += 1;
        match hint {
            Some(hint) => self.faults.error_hint(mark, text, hint),
            None => self.faults.error(mark, text),
        }
    }

    /// Gives every good row to `take` (with its region); what `take` says is an error of that line.
    fn each_row(&mut self, warnings: &mut Diagnostics, mut take: impl FnMut(NetworkLine, Option<&str>) -> Result<(), String>) {
        let mut header: Option<Header> = None;
        let mut cells = Vec::new();
        let mut count = 0;
        for (line, text) in content_lines(self.text) {
            if let Err(message) = split(text, &mut cells) {
                self.fault(line, 1, message, None);
            } else if let Some(header) = &header {
                match self.row(header, line, &cells) {
                    Some((row, region)) => take(row, region).unwrap_or_else(|message| self.fault(line, 1, message, None)),
                    None => debug_assert!(self.fault_count > 0),
                }
                count += 1;
            } else {
                match self.header(line, &cells, warnings) {
                    Some(found) => header = Some(found),
                    None => return,
                }
            }
            if count > MAX_NETWORKS {
                return self.fault(line, 1, format!("more than {MAX_NETWORKS} networks"), None);
            }
            if self.fault_count > MAX_DIAGNOSTICS {
                return;
            }
        }
        if header.is_none() {
            self.fault(0, 0, "holds no header line", Some(format!("the first line names the columns, as in `{}`", COLUMNS[..3].join(","))));
        }
    }

    fn header(&mut self, line: u32, cells: &[Cell<'_>], warnings: &mut Diagnostics) -> Option<Header> {
        let mut header = Header { at: [None; COLUMNS.len()], width: cells.len() };
        for (index, cell) in cells.iter().enumerate() {
            let name = cell.text.trim().to_ascii_lowercase();
            match COLUMNS.iter().position(|known| *known == name) {
                Some(known) if header.at[known].is_some() => {
                    self.fault(line, cell.column, format!("column `{name}` is there twice"), None);
                }
                Some(known) if known != REGION || self.overrides => header.at[known] = Some(index),
                Some(_) => warnings.warning(self.mark(line, cell.column), "column `region` is only used in a file of `networks:`"),
                None => self.stranger(line, cell.column, &name, warnings),
            }
        }
        if header.at[NETWORK].is_none() && self.fault_count == 0 {
            self.fault(
                line,
                1,
                "no column `network`",
                Some("the first line names the columns, as in `network,latitude,longitude`".to_owned()),
            );
        }
        (self.fault_count == 0).then_some(header)
    }

    /// A column that is none of ours: a slip of the finger is an error, anything else only a warning.
    fn stranger(&mut self, line: u32, column: u32, name: &str, warnings: &mut Diagnostics) {
        match nearest(name, COLUMNS) {
            Some(known) => self.fault(line, column, format!("unknown column `{name}`"), Some(format!("did you mean `{known}`?"))),
            None => warnings.warning(self.mark(line, column), format!("column `{name}` is not used")),
        }
    }

    fn row<'c>(&mut self, header: &Header, line: u32, cells: &'c [Cell<'_>]) -> Option<(NetworkLine, Option<&'c str>)> {
        if cells.len() != header.width {
            self.fault(line, 1, format!("{} columns where the header has {}", cells.len(), header.width), None);
            return None;
        }
        let cell = |known: usize| header.at[known].map(|index| &cells[index]).filter(|cell| !matches!(cell.text.trim(), "" | "-"));
        let before = self.fault_count;
        let prefix = self.network(line, cell(NETWORK));
        let fields = Fields {
            point: self.point(line, cell(LATITUDE), cell(LONGITUDE)),
            country: self.parsed(line, cell(COUNTRY), Code::parse, "a country of two letters (ISO 3166)"),
            continent: self.parsed(line, cell(CONTINENT), Code::continent, "one of AF, AN, AS, EU, NA, OC, SA"),
            subdivision: self.parsed(line, cell(SUBDIVISION), clean_subdivision, "a subdivision of at most 256 octets"),
            city: self.parsed(line, cell(CITY), clean_name, "a name of at most 256 octets"),
            asn: self.parsed(line, cell(ASN), |text| number::asn(text.trim()), "the number of an autonomous system"),
        };
        let region = cell(REGION).map(|cell| cell.text.trim());
        (self.fault_count == before).then_some((NetworkLine { prefix: prefix?, fields, line }, region))
    }

    fn network(&mut self, line: u32, cell: Option<&Cell<'_>>) -> Option<Prefix> {
        let Some(cell) = cell else {
            self.fault(line, 1, "no network", None);
            return None;
        };
        let text = cell.text.trim();
        match text.parse() {
            Ok(prefix) => return Some(prefix),
            Err(PrefixError::HostBits { masked }) => {
                let hint = Some(format!("write `{masked}`, or the one address that was meant"));
                self.fault(line, cell.column, format!("`{text}` has bits set beyond its prefix length"), hint);
            }
            Err(error) => self.fault(line, cell.column, format!("`{text}`: {error}"), None),
        }
        None
    }

    fn point(&mut self, line: u32, latitude: Option<&Cell<'_>>, longitude: Option<&Cell<'_>>) -> Option<Point> {
        let (latitude, longitude) = match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => (latitude, longitude),
            (None, None) => return None,
            (Some(cell), None) | (None, Some(cell)) => {
                self.fault(line, cell.column, "latitude and longitude need each other", None);
                return None;
            }
        };
        let degrees = |text: &str| text.trim().parse::<f64>().ok();
        let north = self.parsed(line, Some(latitude), degrees, "a latitude in degrees")?;
        let east = self.parsed(line, Some(longitude), degrees, "a longitude in degrees")?;
        Point::new(north, east).map_err(|error| self.fault(line, latitude.column, error.to_string(), None)).ok()
    }

    fn parsed<T>(&mut self, line: u32, cell: Option<&Cell<'_>>, parse: impl Fn(&str) -> Option<T>, wanted: &str) -> Option<T> {
        let cell = cell?;
        let value = parse(cell.text.trim());
        if value.is_none() {
            self.fault(line, cell.column, format!("`{}` is not {wanted}", cell.text.trim()), None);
        }
        value
    }

    /// The same block twice is an error if the two say different things.
    fn report_doubles<A: Address>(&mut self, nets: &[Net<A>], rows: &[(u32, u32)]) {
        for (a, b) in doubles(nets) {
            let ((record_a, line_a), (record_b, line_b)) = (rows[a.value as usize], rows[b.value as usize]);
            if record_a != record_b {
                let text = format!("network `{}` is given twice with different values", a.prefix());
                self.fault(line_a.max(line_b), 1, text, Some(format!("it is also on line {}", line_a.min(line_b))));
            }
        }
    }
}

/// Where each of [`COLUMNS`] is.
struct Header {
    at: [Option<usize>; COLUMNS.len()],
    width: usize,
}

const NETWORK: usize = 0;
const LATITUDE: usize = 1;
const LONGITUDE: usize = 2;
const COUNTRY: usize = 3;
const CONTINENT: usize = 4;
const SUBDIVISION: usize = 5;
const CITY: usize = 6;
const ASN: usize = 7;
const REGION: usize = 8;

/// Lines that are neither empty nor comments, with their numbers from 1.
pub(crate) fn content_lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let lines = (1u32..).zip(text.split('\n')).map(|(number, line)| (number, line.strip_suffix('\r').unwrap_or(line)));
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

/// Splits a line at its commas; a cell may stand in double quotes, where two of them are one (RFC 4180 section 2). No line breaks in cells.
pub(crate) fn split<'t>(line: &'t str, cells: &mut Vec<Cell<'t>>) -> Result<(), String> {
    cells.clear();
    let (mut rest, mut column) = (line, 1u32);
    loop {
        if cells.len() == MAX_COLUMNS {
            return Err(format!("more than {MAX_COLUMNS} columns"));
        }
        let (text, used) = if rest.starts_with('"') { quoted(rest)? } else { plain(rest)? };
        cells.push(Cell { text, column });
        match rest[used..].strip_prefix(',') {
            Some(next) => {
                column += rest[..used].chars().count() as u32 + 1;
                rest = next;
            }
            None => return Ok(()),
        }
    }
}

fn plain(rest: &str) -> Result<(Cow<'_, str>, usize), String> {
    let end = rest.find(',').unwrap_or(rest.len());
    let text = &rest[..end];
    if text.contains('"') { Err("a quote inside a cell that does not start with one".to_owned()) } else { Ok((Cow::Borrowed(text), end)) }
}

fn quoted(rest: &str) -> Result<(Cow<'_, str>, usize), String> {
    let mut end = 1;
    loop {
        let Some(quote) = rest[end..].find('"') else { return Err("a quote is not closed on its line".to_owned()) };
        end += quote + 1;
        if !rest[end..].starts_with('"') {
            break;
        }
        end += 1;
    }
    if !(rest[end..].is_empty() || rest[end..].starts_with(',')) {
        return Err("text behind a closing quote".to_owned());
    }
    let inner = &rest[1..end - 1];
    let text = if inner.contains('"') { Cow::Owned(inner.replace("\"\"", "\"")) } else { Cow::Borrowed(inner) };
    Ok((text, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::prefix::Family;

    fn rows(text: &str) -> Result<Rows, String> {
        read(Path::new("own.csv"), text.as_bytes()).map_err(|diagnostics| diagnostics.to_string())
    }

    fn error(text: &str) -> String {
        rows(text).expect_err(text)
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let rows = rows("\u{feff}# own data\r\nASN,network,City,subdivision,country,longitude,latitude\r\nAS64500,192.0.2.0/24,\"Washington, D.C.\",us-dc,us,-77.04,38.91\r\n").unwrap();
        assert_eq!((rows.count(Family::V4), rows.count(Family::V6)), (1, 0));
        let expected = Fields {
            point: Point::new(38.91, -77.04).ok(),
            country: Code::parse("US"),
            subdivision: Some("DC".into()),
            city: Some("Washington, D.C.".into()),
            asn: Some(64500),
            ..Fields::default()
        };
        assert_eq!(rows.records, [expected]);
    }

    #[test]
    fn empty_cells_and_dashes_say_nothing() {
        let rows = rows("network,latitude,longitude,country,city\n2001:db8::/32,,,-,-\n").unwrap();
        assert_eq!(rows.records, [Fields::default()]);
    }

    #[test]
    fn all_errors_come_at_once_with_line_and_column() {
        let text = "network,latitude,longitude,country\n10.0.0.0/8,91,0,FR\n10.0.0.0/33,1,1,FR\n11.0.0.0/8,1,,FRA\n12.0.0.0/8,1\n";
        let report = error(text);
        for part in [
            "own.csv:2:12: error: latitude `91` must be a number from -90 to 90",
            "own.csv:3:1: error: `10.0.0.0/33`: the prefix length of IPv4 must be a number from 0 to 32",
            "own.csv:4:12: error: latitude and longitude need each other",
            "own.csv:4:15: error: `FRA` is not a country of two letters (ISO 3166)",
            "own.csv:5:1: error: 2 columns where the header has 4",
        ] {
            assert!(report.contains(part), "{part} is not in\n{report}");
        }
    }

    #[test]
    fn g2_nan_is_refused() {
        assert!(error("network,latitude,longitude\n10.0.0.0/8,NaN,1\n").contains("latitude `NaN`"));
    }

    #[test]
    fn g6_host_bits_and_the_same_block_twice_are_errors() {
        assert!(error("network,country\n10.0.0.1/8,FR\n").contains("hint: write `10.0.0.0/8`"));
        let twice = error("network,country\n2001:db8::/32,FR\n10.0.0.0/8,FR\n2001:0db8:0::/32,DE\n");
        assert!(twice.contains("own.csv:4:1: error: network `2001:db8::/32` is given twice with different values"), "{twice}");
        assert!(twice.contains("hint: it is also on line 2"));
        assert_eq!(rows("network,country\n10.0.0.0/8,FR\n10.0.0.0/8,FR\n").unwrap().count(Family::V4), 1);
    }

    #[test]
    fn a_slip_in_a_column_name_is_an_error_and_a_stranger_a_warning() {
        assert!(error("network,latitide,longitude\n").contains("hint: did you mean `latitude`?"));
        assert!(error("latitude,longitude\n1,1\n").contains("no column `network`"));
        assert!(error("# nothing\n\n").contains("holds no header line"));
        assert!(error("network,network\n").contains("column `network` is there twice"));
        let odd = rows("network,timezone\n10.0.0.0/8,UTC\n").unwrap();
        assert!(odd.warnings().to_string().contains("own.csv:1:9: warning: column `timezone` is not used"));
        let region = rows("network,region\n10.0.0.0/8,California\n").unwrap();
        assert!(region.warnings().to_string().contains("column `region` is only used in a file of `networks:`"));
    }

    #[test]
    fn s8_networks_that_are_never_met_are_told() {
        let odd = rows("network,country\n::ffff:10.0.0.0/104,FR\n2002:a00::/24,FR\n2001:db8::/32,FR\n").unwrap();
        assert!(
            odd.warnings().to_string().contains("own.csv: warning: 2 networks lie in blocks of IPv6 that hold IPv4"),
            "{}",
            odd.warnings()
        );
    }

    #[test]
    fn broken_quotes_and_bytes_are_errors() {
        assert!(error("network,city\n10.0.0.0/8,\"Par\n").contains("a quote is not closed"));
        assert!(error("network,city\n10.0.0.0/8,\"Par\"is\n").contains("text behind a closing quote"));
        assert!(error("network,city\n10.0.0.0/8,Par\"is\n").contains("a quote inside a cell"));
        assert!(error(&format!("network{}\n", ",".repeat(1000))).contains("more than 64 columns"));
        let report = read(Path::new("own.csv"), b"network\n\xff\xfe\n").unwrap_err().to_string();
        assert!(report.contains("line 2 is not UTF-8 text"), "{report}");
    }

    #[test]
    fn a_file_of_nothing_but_errors_stops_early() {
        let text = format!("network\n{}", "nonsense\n".repeat(10_000));
        assert!(error(&text).ends_with("... and 1 more\n"));
    }

    #[test]
    fn overrides_may_name_a_region() {
        let read = |text: &str| read_networks(Path::new("networks.csv"), text.as_bytes());
        let rows = read("network,region,country\n10.20.0.0/16,eu-west,\n10.30.0.0/16,,FR\n").unwrap();
        assert_eq!((rows[0].region.as_deref(), rows[0].line, rows[0].fields.is_empty()), (Some("eu-west"), 2, true));
        assert_eq!((rows[1].region.as_deref(), rows[1].fields.country), (None, Code::parse("FR")));
        let nothing = read("network,region\n10.20.0.0/16,\n").unwrap_err().to_string();
        assert!(nothing.contains("networks.csv:2:1: error: says nothing of its network"), "{nothing}");
    }
}
