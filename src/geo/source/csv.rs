//! Geo data as CSV: a header line with column names, one network a line, `#` for comments (quoting as in RFC 4180).
//! It never guesses a column: each error names its line and column, and a file with one error gives no rows.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::{Collector, MAX_NETWORKS, Rows, clean_name, clean_subdivision, doubles, parse_asn};
use crate::diag::{Diagnostics, MAX_DIAGNOSTICS, Mark, Source, nearest};
use crate::geo::place::{Code, Fields, Point};
use crate::geo::prefix::{Prefix, PrefixError};
use crate::geo::sweep::{Address, Net};

/// The columns that are read; only `network` is needed, the order is free, others are left out with a warning.
pub const COLUMNS: [&str; 9] = ["network", "latitude", "longitude", "country", "continent", "subdivision", "city", "asn", "region"];

/// Most columns in a line: vendors have about 20, and a line of a million commas must stay cheap.
const MAX_COLUMNS: usize = 64;

/// Reads a geo file.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Rows, Diagnostics> {
    let mut collector = Collector::default();
    // A network's value is its row at first, so that doubles can be told with their lines.
    let mut rows: Vec<(u32, u32)> = Vec::new();
    let mut warnings = Diagnostics::new();
    let mut page = Page::open(path, bytes)?;
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
    let mut page = Page::open(path, bytes)?;
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
    column: u32,
}

/// The text of a file with all that was found wrong in it.
struct Page<'t> {
    path: &'t Path,
    text: &'t str,
    /// Made at the first fault only: a good file is not copied.
    source: Option<Arc<Source>>,
    faults: Diagnostics,
    fault_count: usize,
}

impl<'t> Page<'t> {
    fn open(path: &'t Path, bytes: &'t [u8]) -> Result<Page<'t>, Diagnostics> {
        let page = |text| Page { path, text, source: None, faults: Diagnostics::new(), fault_count: 0 };
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
                Some(known) => header.at[known] = Some(index),
                None => match nearest(&name, COLUMNS) {
                    Some(known) => {
                        self.fault(line, cell.column, format!("unknown column `{name}`"), Some(format!("did you mean `{known}`?")))
                    }
                    None => {
                        let mark = self.mark(line, cell.column);
                        warnings.warning(mark, format!("column `{name}` is not used"));
                    }
                },
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
            asn: self.parsed(line, cell(ASN), parse_asn, "the number of an autonomous system"),
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
