//! Master files (RFC 1035 5): records in bulk, from text to encoded RRsets, each fault with its line.
//! It opens no other file: `$INCLUDE` is refused, as is `$GENERATE`.

use std::collections::HashMap;
use std::sync::Arc;

use super::check::{MAX_RECORDS, MAX_TTL_S, refusal};
use super::spec::{seconds_from_text, shortened};
use crate::diag::{Diagnostics, Mark, Source};
use crate::name::Name;
use crate::wire::rtype;
use crate::zone::build::Soa;
use crate::zone::rrset::{MAX_RDATA_OCTETS, Rrset, rdata_from_text};

/// Records of one file; a zone of this size fills some hundred megabytes.
const MAX_FILE_RECORDS: usize = 5_000_000;

/// Octets of one entry, its parentheses included: no record data is longer in text.
const MAX_ENTRY_OCTETS: usize = 512 * 1024;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct MasterFile {
    /// In the order of first mention.
    pub(super) rrsets: Vec<Placed>,
    /// The SOA of the apex.
    pub(super) soa: Option<(Soa, Mark)>,
}

/// An RRset and where it begins.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) owner: Name,
    pub(super) rrset: Rrset,
    pub(super) mark: Mark,
}

/// Reads a file for the zone `apex`; records without a TTL get `ttl_s`. Bad entries are reported and left out.
pub(super) fn read(source: &Arc<Source>, apex: &Name, ttl_s: u32, out: &mut Diagnostics) -> MasterFile {
    let mut reader = Reader { apex, origin: apex.clone(), ttl_s, owner: None, sets: Vec::new(), index: HashMap::new(), soa: None };
    let mut entries = Entries { source, rest: &source.text, line: 1, column: 1 };
    let mut count = 0;
    while let Some(entry) = entries.next(out) {
        count += 1;
        if count > MAX_FILE_RECORDS {
            out.error(entry.mark(source, 0), format!("the file has more than {MAX_FILE_RECORDS} records"));
            break;
        }
        reader.take(&entry, source, out);
    }
    let placed = |set: Set| Placed { rrset: Rrset::new(set.record_type, set.ttl_s, &set.rdatas), owner: set.owner, mark: set.mark };
    MasterFile { rrsets: reader.sets.into_iter().map(placed).collect(), soa: reader.soa }
}

/// Records of one owner and type while they are collected.
struct Set {
    owner: Name,
    record_type: u16,
    ttl_s: u32,
    rdatas: Vec<Vec<u8>>,
    mark: Mark,
}

/// What entries leave behind for those after them.
struct Reader<'m> {
    apex: &'m Name,
    origin: Name,
    ttl_s: u32,
    owner: Option<Name>,
    sets: Vec<Set>,
    index: HashMap<(Name, u16), usize>,
    soa: Option<(Soa, Mark)>,
}

impl Reader<'_> {
    /// One record or directive; `None` when it was refused, which has been reported.
    fn take(&mut self, entry: &Entry<'_>, source: &Arc<Source>, out: &mut Diagnostics) -> Option<()> {
        let mark = |at: usize| entry.mark(source, at);
        if entry.tokens[0].text.starts_with('$') {
            return self.directive(entry, &mark(0), out);
        }
        let mut at = 0;
        if !entry.inherits_owner {
            self.owner = Some(self.name(entry.tokens[0].text, &mark(0), out)?);
            at = 1;
        }
        let Some(owner) = self.owner.clone() else {
            out.error_hint(mark(0), "the first record has no owner", "a line that begins with a space repeats the owner of the line above");
            return None;
        };
        let (ttl_s, at) = self.ttl_and_class(entry, at, source, out)?;
        let Some(token) = entry.tokens.get(at) else {
            out.error(mark(at - 1), "the record ends before its type");
            return None;
        };
        let Some(record_type) = rtype::parse(token.text) else {
            out.error(mark(at), format!("unknown record type `{}`", shortened(token.text)));
            return None;
        };
        if record_type != rtype::SOA
            && let Some(hint) = refusal(record_type)
        {
            out.error_hint(mark(at), format!("`{}` records cannot be written here", rtype::name(record_type)), hint);
            return None;
        }
        let data: Vec<&str> = entry.tokens[at + 1..].iter().map(|token| token.text).collect();
        let read = match record_type {
            rtype::TXT => txt_from_tokens(&data),
            _ => rdata_from_text(record_type, &data.join(" "), &self.origin),
        };
        let rdata = match read {
            Ok(rdata) => rdata,
            Err(text) => {
                out.error(mark((at + 1).min(entry.tokens.len() - 1)), text);
                return None;
            }
        };
        if !owner.ends_with(self.apex) {
            out.error(mark(0), format!("`{owner}` is outside the zone `{}`", self.apex));
            return None;
        }
        if record_type == rtype::SOA {
            return self.start(&owner, ttl_s, &rdata, mark(at), out);
        }
        self.add(owner, record_type, ttl_s, rdata, mark(0), out)
    }

    fn directive(&mut self, entry: &Entry<'_>, mark: &Mark, out: &mut Diagnostics) -> Option<()> {
        let value = entry.tokens.get(1).map(|token| token.text);
        match (entry.tokens[0].text.to_ascii_uppercase().as_str(), value) {
            ("$ORIGIN", Some(text)) => self.origin = self.name(text, mark, out)?,
            ("$TTL", Some(text)) => match ttl_from_text(text) {
                Some(ttl_s) => self.ttl_s = ttl_s,
                None => out.error(mark.clone(), format!("`{text}` is not a TTL")),
            },
            ("$ORIGIN" | "$TTL", None) => out.error(mark.clone(), format!("`{}` has no value", entry.tokens[0].text)),
            (other, _) => {
                let text = format!("`{}` is not supported in this version", shortened(other));
                out.error_hint(mark.clone(), text, "`$ORIGIN` and `$TTL` are");
            }
        }
        Some(())
    }

    /// TTL and class before the type, in either order, both optional.
    fn ttl_and_class(&self, entry: &Entry<'_>, mut at: usize, source: &Arc<Source>, out: &mut Diagnostics) -> Option<(u32, usize)> {
        let (mut ttl_s, mut class) = (None, false);
        while let Some(token) = entry.tokens.get(at) {
            let upper = token.text.to_ascii_uppercase();
            if ttl_s.is_none() && token.text.starts_with(|c: char| c.is_ascii_digit()) {
                ttl_s = ttl_from_text(token.text);
                if ttl_s.is_none() {
                    out.error(entry.mark(source, at), format!("`{}` is not a TTL", shortened(token.text)));
                    return None;
                }
            } else if !class && upper == "IN" {
                class = true;
            } else if matches!(upper.as_str(), "CH" | "HS" | "CS") {
                out.error(entry.mark(source, at), format!("class `{upper}` is not served; zones are of class IN"));
                return None;
            } else {
                break;
            }
            at += 1;
        }
        Some((ttl_s.unwrap_or(self.ttl_s), at))
    }

    fn name(&self, text: &str, mark: &Mark, out: &mut Diagnostics) -> Option<Name> {
        match Name::parse(text, Some(&self.origin)) {
            Ok(name) => Some(name),
            Err(error) => {
                out.error(mark.clone(), format!("`{}` is not a name: {error}", shortened(text)));
                None
            }
        }
    }

    fn start(&mut self, owner: &Name, ttl_s: u32, rdata: &[u8], mark: Mark, out: &mut Diagnostics) -> Option<()> {
        if owner != self.apex || self.soa.is_some() {
            out.error_hint(mark, "an SOA that is not the one of the zone", "a zone has one SOA, at its apex");
            return None;
        }
        self.soa = soa_from_rdata(rdata, ttl_s).map(|soa| (soa, mark));
        Some(())
    }

    fn add(&mut self, owner: Name, record_type: u16, ttl_s: u32, rdata: Vec<u8>, mark: Mark, out: &mut Diagnostics) -> Option<()> {
        let Some(&at) = self.index.get(&(owner.clone(), record_type)) else {
            self.index.insert((owner.clone(), record_type), self.sets.len());
            self.sets.push(Set { owner, record_type, ttl_s, rdatas: vec![rdata], mark });
            return Some(());
        };
        let set = &mut self.sets[at];
        if set.ttl_s != ttl_s {
            let text = format!("this record has the TTL {ttl_s}, and the one on line {} has {}", set.mark.line, set.ttl_s);
            out.warning_hint(mark.clone(), text, "records of one owner and type have one TTL (RFC 2181 5.2); the lower one is used");
            set.ttl_s = set.ttl_s.min(ttl_s);
        }
        if set.rdatas.len() == MAX_RECORDS {
            out.error(
                mark,
                format!("`{owner}` has more than {MAX_RECORDS} {} records, which do not fit into a message", rtype::name(record_type)),
            );
            return None;
        }
        if set.rdatas.len() < MAX_RECORDS {
            set.rdatas.push(rdata);
        }
        Some(())
    }
}

/// The character-strings of a TXT (RFC 1035 5.1): quoted or not, `\DDD` for any octet.
fn txt_from_tokens(tokens: &[&str]) -> Result<Vec<u8>, String> {
    let mut rdata = Vec::new();
    for token in tokens {
        let inner = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(token);
        let octets =
            unescaped(inner).ok_or_else(|| format!("`{}` has a bad escape: write `\\` and three digits up to 255", shortened(token)))?;
        let length = u8::try_from(octets.len()).map_err(|_| format!("`{}` is longer than 255 octets; split it", shortened(token)))?;
        rdata.push(length);
        rdata.extend(octets);
    }
    match rdata.len() {
        0 => Err("a TXT record needs at least one string".into()),
        length if length > MAX_RDATA_OCTETS => Err(format!("record data of {length} octets is over {MAX_RDATA_OCTETS}")),
        _ => Ok(rdata),
    }
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let (&next, tail) = rest.split_first()?;
        if !next.is_ascii_digit() {
            octets.push(next);
            rest = tail;
            continue;
        }
        let digits = rest.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        let value = digits.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        octets.push(u8::try_from(value).ok()?);
        rest = &rest[3..];
    }
    Some(octets)
}

/// Two names and five numbers (RFC 1035 3.3.13).
fn soa_from_rdata(rdata: &[u8], ttl_s: u32) -> Option<Soa> {
    let (names, numbers) = rdata.split_last_chunk::<20>()?;
    let split = 1
        + (0..names.len())
            .scan(0, |at, _| {
                let here = *at;
                *at += 1 + usize::from(*names.get(here)?);
                Some(here)
            })
            .find(|at| names[*at] == 0)?;
    let (mname, rname) = (Name::from_wire(&names[..split]).ok()?, Name::from_wire(&names[split..]).ok()?);
    let mut words = numbers.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
    let mut next = || words.next();
    Some(Soa { mname, rname, serial: next(), refresh_s: next()?, retry_s: next()?, expire_s: next()?, minimum_s: next()?, ttl_s })
}

/// `300`, `5m`, or several units in a row as in `1h30m`.
fn ttl_from_text(text: &str) -> Option<u32> {
    let mut parts = text.split_inclusive(|c: char| c.is_ascii_alphabetic()).map(seconds_from_text);
    let total = parts.try_fold(0_u64, |sum, part| sum.checked_add(part?))?;
    u32::try_from(total).ok().filter(|_| !text.is_empty() && total <= MAX_TTL_S)
}

/// One token; quoted ones keep their quotes.
#[derive(Debug)]
struct Token<'s> {
    text: &'s str,
    line: u32,
    column: u32,
}

/// The tokens of one record or directive; never empty.
#[derive(Debug)]
struct Entry<'s> {
    tokens: Vec<Token<'s>>,
    /// The line began with a space, so the owner is that of the entry before.
    inherits_owner: bool,
}

impl Entry<'_> {
    fn mark(&self, source: &Arc<Source>, at: usize) -> Mark {
        self.tokens.get(at).map_or_else(|| Mark::file(source), |token| Mark::new(source, token.line, token.column))
    }
}

/// Cuts a text into entries: comments go, parentheses join lines.
struct Entries<'s> {
    source: &'s Arc<Source>,
    rest: &'s str,
    line: u32,
    column: u32,
}

impl<'s> Entries<'s> {
    fn next(&mut self, out: &mut Diagnostics) -> Option<Entry<'s>> {
        loop {
            let inherits_owner = self.rest.starts_with([' ', '\t']);
            match self.tokens(out) {
                Some(tokens) if !tokens.is_empty() => return Some(Entry { tokens, inherits_owner }),
                // An empty line, or one that was refused.
                _ if self.rest.is_empty() => return None,
                _ => {}
            }
        }
    }

    /// The tokens up to the end of the line, or of the last line of an open parenthesis.
    fn tokens(&mut self, out: &mut Diagnostics) -> Option<Vec<Token<'s>>> {
        let mut tokens = Vec::new();
        let mut open: Option<Mark> = None;
        let start = self.rest.len();
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\n' => {
                    self.skip(1);
                    if open.is_none() {
                        return Some(tokens);
                    }
                }
                ';' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
                '(' if open.is_none() => {
                    open = Some(Mark::new(self.source, self.line, self.column));
                    self.skip(1);
                }
                ')' if open.is_some() => {
                    open = None;
                    self.skip(1);
                }
                '(' | ')' => return self.refuse("this parenthesis has no partner", out),
                '"' => tokens.push(self.quoted(out)?),
                c if c.is_whitespace() => self.skip(c.len_utf8()),
                _ => tokens.push(self.word()),
            }
            if start - self.rest.len() > MAX_ENTRY_OCTETS {
                return self.refuse("this record is too long; is a `)` missing?", out);
            }
        }
        if let Some(mark) = open {
            out.error(mark, "this parenthesis is never closed");
            return None;
        }
        Some(tokens)
    }

    fn word(&mut self) -> Token<'s> {
        let mut escaped = false;
        let end = self.rest.find(|c: char| {
            let ends = !escaped && (c.is_whitespace() || "();\"".contains(c));
            escaped = !escaped && c == '\\';
            ends || c == '\n'
        });
        self.cut(end.unwrap_or(self.rest.len()))
    }

    fn quoted(&mut self, out: &mut Diagnostics) -> Option<Token<'s>> {
        let mut escaped = false;
        let end = self.rest[1..].find(|c: char| {
            let ends = !escaped && c == '"';
            escaped = !escaped && c == '\\';
            ends || c == '\n'
        });
        match end {
            Some(end) if self.rest.as_bytes()[1 + end] == b'"' => Some(self.cut(end + 2)),
            _ => self.refuse("the quote that opens here is not closed on this line", out),
        }
    }

    fn cut(&mut self, octets: usize) -> Token<'s> {
        let token = Token { text: &self.rest[..octets], line: self.line, column: self.column };
        self.skip(octets);
        token
    }

    /// Reports a fault here and goes on with the next line.
    fn refuse<T>(&mut self, text: &str, out: &mut Diagnostics) -> Option<T> {
        out.error(Mark::new(self.source, self.line, self.column), text);
        self.skip(self.rest.find('\n').map_or(self.rest.len(), |at| at + 1));
        None
    }

    fn skip(&mut self, octets: usize) {
        let (gone, rest) = self.rest.split_at(octets);
        for c in gone.chars() {
            (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests;
