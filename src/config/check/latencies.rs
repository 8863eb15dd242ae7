//! The table of `order: latency`: a CSV file of milliseconds between clients and regions.
//! It resolves regions and refuses pairs with two meanings; which row counts for a client is for the order.

use std::collections::HashMap;
use std::sync::Arc;

use super::networks::warn_if_embedded;
use super::rules::known_region;
use super::{Regions, prefix_fault};
use crate::config::files;
use crate::config::spec::Fields;
use crate::diag::{Diagnostics, Mark, Source, nearest};
use crate::geo::source::csv::{Cell, content_lines, split};
use crate::geo::{Code, Prefix, RegionId};
use crate::number;
use crate::steer::order::latency::{From, Latencies, MAX_MS, METRES_PER_MS};

/// Rows of the file: a hundred thousand networks to forty regions. Each network is an edge of the place table.
const MAX_ROWS: usize = 4 << 20;

/// The columns, in the order of [`Columns`]; a file has the last two and any of the others.
const COLUMNS: [&str; 5] = ["network", "asn", "country", "region", "milliseconds"];

/// What the first line may be.
const EXAMPLE: &str = "the first line names the columns, as in `network,region,milliseconds`";

/// Where each of [`COLUMNS`] is in a line.
type Columns = [Option<usize>; COLUMNS.len()];

/// `latencies:` of the server file; none without the key, or after an error.
pub(in crate::config) fn latencies(server: &Fields<'_>, regions: &Regions, out: &mut Diagnostics) -> Option<Arc<Latencies>> {
    let field = server.get("latencies")?;
    let path = files::resolve(field.text("a CSV file", out)?, &field.node.mark);
    let source = files::read_text(&path, files::MAX_TEXT_OCTETS, &field.node.mark, out)?;
    let mut page = Page { source: &source, regions, rows: HashMap::new() };
    page.read(out);
    Some(Arc::new(Latencies::new(page.rows.into_iter().map(|((from, region), (metres, _))| (from, region, metres)))))
}

/// The file while it is read: what was measured of each pair, and on which line.
struct Page<'p> {
    source: &'p Arc<Source>,
    regions: &'p Regions,
    rows: HashMap<(From, RegionId), (u32, u32)>,
}

impl Page<'_> {
    fn read(&mut self, out: &mut Diagnostics) {
        let mut columns: Option<Columns> = None;
        let mut cells = Vec::new();
        for (line, text) in content_lines(&self.source.text) {
            if let Err(fault) = split(text, &mut cells) {
                out.error(self.mark(line, 1), fault);
                continue;
            }
            match &columns {
                Some(columns) => _ = self.row(line, columns, &cells, out),
                None => match self.header(line, &cells, out) {
                    Some(found) => columns = Some(found),
                    None => return,
                },
            }
            if self.rows.len() > MAX_ROWS {
                return out.error(self.mark(line, 1), format!("more than {MAX_ROWS} pairs of client and region"));
            }
        }
        if columns.is_none() {
            out.error_hint(Mark::file(self.source), "holds no header line", EXAMPLE);
        }
    }

    fn header(&self, line: u32, cells: &[Cell<'_>], out: &mut Diagnostics) -> Option<Columns> {
        let mut columns = Columns::default();
        for (index, cell) in cells.iter().enumerate() {
            let name = cell.text.trim().to_ascii_lowercase();
            match COLUMNS.iter().position(|known| *known == name) {
                Some(known) if columns[known].is_none() => columns[known] = Some(index),
                Some(_) => out.error(self.mark(line, cell.column), format!("column `{name}` is there twice")),
                None => {
                    let hint = nearest(&name, COLUMNS).map_or_else(|| EXAMPLE.to_owned(), |near| format!("did you mean `{near}`?"));
                    out.error_hint(self.mark(line, cell.column), format!("unknown column `{name}`"), hint);
                    return None;
                }
            }
        }
        let [network, asn, country, region, milliseconds] = columns;
        if network.or(asn).or(country).is_none() || region.is_none() || milliseconds.is_none() {
            out.error_hint(self.mark(line, 1), "there must be `network`, `asn` or `country`, and `region` and `milliseconds`", EXAMPLE);
            return None;
        }
        Some(columns)
    }

    /// `None` after an error.
    fn row(&mut self, line: u32, columns: &Columns, cells: &[Cell<'_>], out: &mut Diagnostics) -> Option<()> {
        let cell = |at: usize| columns[at].and_then(|index| cells.get(index)).filter(|cell| !matches!(cell.text.trim(), "" | "-"));
        let from = match (cell(0), cell(1), cell(2)) {
            (Some(cell), None, None) => From::Network(self.network(line, cell, out)?),
            (None, Some(cell), None) => From::Asn(self.parsed(line, cell, number::asn, "the number of an autonomous system", out)?),
            (None, None, Some(cell)) => {
                From::Country(self.parsed(line, cell, Code::parse, "a country of two letters (ISO 3166-1)", out)?)
            }
            _ => {
                out.error(self.mark(line, 1), "a line names its clients by exactly one of `network`, `asn` and `country`");
                return None;
            }
        };
        let (Some(region), Some(ms)) = (cell(3), cell(4)) else {
            out.error(self.mark(line, 1), "`region` and `milliseconds` must be there");
            return None;
        };
        let region = known_region(region.text.trim(), &self.mark(line, region.column), self.regions, out);
        let metres = self.parsed(line, ms, metres_from_text, &format!("a number of milliseconds from 0 to {MAX_MS}"), out)?;
        self.add((from, region?), metres, line, out);
        Some(())
    }

    fn add(&mut self, pair: (From, RegionId), metres: u32, line: u32, out: &mut Diagnostics) {
        match self.rows.get(&pair) {
            Some((other, first)) if *other != metres => {
                let text = "this pair of client and region stands twice with different values";
                out.error_hint(self.mark(line, 1), text, format!("the first is on line {first}; keep one of them"));
            }
            Some(_) => {}
            None => _ = self.rows.insert(pair, (metres, line)),
        }
    }

    fn network(&self, line: u32, cell: &Cell<'_>, out: &mut Diagnostics) -> Option<Prefix> {
        let text = cell.text.trim();
        let mark = self.mark(line, cell.column);
        match text.parse() {
            Ok(prefix) => {
                warn_if_embedded(&prefix, &mark, out);
                Some(prefix)
            }
            Err(error) => {
                let (text, hint) = prefix_fault(text, error);
                out.error_hint(mark, text, hint);
                None
            }
        }
    }

    fn parsed<T>(&self, line: u32, cell: &Cell<'_>, read: impl Fn(&str) -> Option<T>, wanted: &str, out: &mut Diagnostics) -> Option<T> {
        let text = cell.text.trim();
        let value = read(text);
        if value.is_none() {
            out.error(self.mark(line, cell.column), format!("`{text}` is not {wanted}"));
        }
        value
    }

    fn mark(&self, line: u32, column: u32) -> Mark {
        Mark::new(self.source, line, column)
    }
}

/// Milliseconds, a decimal, as metres.
pub(super) fn metres_from_text(text: &str) -> Option<u32> {
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let ms = text.parse::<f64>().ok().filter(|ms| is_decimal && (0.0..=MAX_MS).contains(ms))?;
    Some((ms * f64::from(METRES_PER_MS)).round() as u32)
}
