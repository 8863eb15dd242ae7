//! Master files (RFC 1035 5, RFC 2308 4): records in bulk, from text to encoded RRsets, each fault with its line and column.
//! It judges one record at a time; the zone as a whole is judged where it is built.

mod generate;
mod sets;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use super::check::{MAX_TTL_S, refusal, unknown_type};
use super::files;
use super::spec::shortened;
use crate::diag::{Diagnostics, Mark, Source};
use crate::name::Name;
use crate::number;
use crate::wire::rtype;
use crate::zone::build::Soa;
use crate::zone::text::rdata_from_tokens;
use crate::zone::text::token::{Lexer, Token};
pub(super) use sets::Placed;
use sets::{Record, Sets};

/// Records of one zone, those of `$INCLUDE` and `$GENERATE` counted: such a zone fills more than a gigabyte.
pub(super) const MAX_RECORDS_OF_ZONE: usize = 5_000_000;

/// Files in each other by `$INCLUDE`: real zones need two; more is a file that includes itself.
const MAX_INCLUDE_DEPTH: usize = 10;

/// `$INCLUDE` lines of one zone, so that files that include each other twice do not grow without end.
const MAX_INCLUDES: usize = 1_000;

/// TTL of records when neither they nor `$TTL`, the zone file or an SOA before them say one.
const DEFAULT_TTL_S: u32 = 300;

/// What the reader must know of the zone.
#[derive(Debug)]
pub(super) struct Zone<'z> {
    /// Its name, and the first origin.
    pub(super) apex: &'z Name,
    /// TTL of records without one where there is no `$TTL`; left out, it is the MINIMUM of the SOA (as in BIND).
    pub(super) ttl_s: Option<u32>,
    /// Records that are made when a zone is signed are left out with a warning, not refused.
    pub(super) drops_signatures: bool,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct MasterFile {
    /// In the order of first mention.
    pub(super) rrsets: Vec<Placed>,
    /// The SOA of the apex.
    pub(super) soa: Option<(Soa, Mark)>,
}

/// Reads a file and those that it includes. Bad entries are reported and left out.
pub(super) fn read(source: &Arc<Source>, zone: &Zone<'_>, out: &mut Diagnostics) -> MasterFile {
    let mut reader = Reader {
        zone,
        out,
        home: files::folder(&source.path).to_owned(),
        ttl_s: None,
        stated_ttl_s: None,
        sets: Sets::default(),
        soa: None,
        records: 0,
        includes: 0,
        dropped: 0,
        octets_left: files::MAX_TEXT_OCTETS.saturating_sub(source.text.len() as u64),
    };
    reader.file(source, zone.apex.clone(), 1);
    if reader.dropped > 0 {
        let text = format!("{} records are left out that are made when a zone is signed (RRSIG, NSEC, NSEC3, NSEC3PARAM)", reader.dropped);
        reader.out.warning(Mark::file(source), text);
    }
    MasterFile { rrsets: reader.sets.finish(), soa: reader.soa }
}

/// The name of the zone that a file holds: the owner of its SOA, where that can be told without knowing the zone.
pub(super) fn apex_of(text: &str) -> Option<Name> {
    let (mut lexer, mut tokens) = (Lexer::new(text), Vec::new());
    let mut origin: Option<Name> = None;
    let absolute = |text: &str, origin: Option<&Name>| {
        let name = Name::parse(text, origin).ok()?;
        (origin.is_some() || text.ends_with('.')).then_some(name)
    };
    while let Some(entry) = lexer.next(&mut tokens) {
        match (entry, &tokens[..]) {
            (Ok(_), [directive, value, ..]) if directive.text.eq_ignore_ascii_case("$ORIGIN") => {
                origin = absolute(value.text, origin.as_ref());
            }
            (Ok(entry), [owner, rest @ ..]) if rest.iter().take(3).any(|token| token.text.eq_ignore_ascii_case("SOA")) => {
                return if entry.inherits_owner { None } else { absolute(owner.text, origin.as_ref()) };
            }
            _ => {}
        }
    }
    None
}

/// What is being read, and what was left behind by what was read before.
struct Reader<'r> {
    zone: &'r Zone<'r>,
    out: &'r mut Diagnostics,
    /// The folder of the first file: no other file lies outside it.
    home: PathBuf,
    /// Of `$TTL`.
    ttl_s: Option<u32>,
    /// Of the last record that stated one.
    stated_ttl_s: Option<u32>,
    sets: Sets,
    soa: Option<(Soa, Mark)>,
    records: usize,
    includes: usize,
    /// Records left out.
    dropped: usize,
    octets_left: u64,
}

/// What holds within one file only.
struct Scope {
    origin: Name,
    owner: Option<Name>,
    depth: usize,
}

/// Where tokens stand.
#[derive(Clone, Copy)]
enum Origin<'h> {
    File(&'h Arc<Source>, &'h Lexer<'h>),
    /// Made by the directive here.
    Made(&'h Mark),
}

impl Origin<'_> {
    fn mark(self, at: usize) -> Mark {
        match self {
            Origin::File(source, lexer) => {
                let (line, column) = lexer.place(at);
                Mark::new(source, line, column)
            }
            Origin::Made(mark) => mark.clone(),
        }
    }
}

/// The tokens of one record or directive, at least one.
#[derive(Clone, Copy)]
struct Line<'l> {
    tokens: &'l [Token<'l>],
    origin: Origin<'l>,
}

impl Line<'_> {
    /// The mark of a token, or of the last one where one is missing.
    fn mark(&self, token: usize) -> Mark {
        let token = self.tokens.get(token).or(self.tokens.last());
        self.origin.mark(token.map_or(0, |token| token.at))
    }
}

impl Reader<'_> {
    fn file(&mut self, source: &Arc<Source>, origin: Name, depth: usize) {
        let mut scope = Scope { origin, owner: None, depth };
        let (mut lexer, mut tokens) = (Lexer::new(&source.text), Vec::new());
        while let Some(entry) = lexer.next(&mut tokens) {
            match entry {
                Ok(entry) => {
                    let line = Line { tokens: &tokens, origin: Origin::File(source, &lexer) };
                    // What was refused has been reported.
                    let _taken = self.entry(line, entry.inherits_owner, &mut scope);
                }
                Err(fault) => {
                    let (line, column) = lexer.place(fault.at);
                    self.out.error(Mark::new(source, line, column), fault.kind.to_string());
                }
            }
            if self.records > MAX_RECORDS_OF_ZONE {
                return;
            }
        }
    }

    /// One record or directive; `None` when it was refused, which has been reported.
    fn entry(&mut self, line: Line<'_>, inherits_owner: bool, scope: &mut Scope) -> Option<()> {
        if inherits_owner {
            return self.record(line, 0, scope);
        }
        if line.tokens[0].text.starts_with('$') && !line.tokens[0].quoted {
            return self.directive(line, scope);
        }
        scope.owner = None;
        scope.owner = Some(self.name(line, 0, &scope.origin)?);
        self.record(line, 1, scope)
    }

    /// TTL, class, type and data from the token `at` on, in the name of the scope's owner.
    fn record(&mut self, line: Line<'_>, at: usize, scope: &Scope) -> Option<()> {
        let Some(owner) = &scope.owner else {
            let hint = "a line that begins with a space repeats the owner of the line above";
            self.out.error_hint(line.mark(0), "this record has no owner", hint);
            return None;
        };
        let (ttl_s, at) = self.ttl_and_class(line, at)?;
        let rtype = self.rtype(line, at)?;
        let data = line.tokens.get(at + 1..).unwrap_or_default();
        let rdata = match rdata_from_tokens(rtype, data, &scope.origin) {
            Ok(rdata) => rdata,
            Err(fault) => {
                let mark = line.mark(at + 1 + fault.token);
                match fault.hint {
                    Some(hint) => self.out.error_hint(mark, fault.text, hint),
                    None => self.out.error(mark, fault.text),
                }
                return None;
            }
        };
        if !owner.ends_with(self.zone.apex) {
            let hint = format!("names without a final dot are relative to `$ORIGIN`, which is `{}` here", scope.origin);
            self.out.error_hint(line.mark(0), format!("`{owner}` is outside the zone `{}`", self.zone.apex), hint);
            return None;
        }
        self.count(line)?;
        if rtype == rtype::SOA {
            return self.start(owner, ttl_s, &rdata, line.mark(0));
        }
        let ttl_s = ttl_s.or_else(|| Some(self.soa.as_ref()?.0.minimum_s)).unwrap_or(DEFAULT_TTL_S);
        self.sets.add(Record { owner: owner.clone(), rtype, ttl_s, rdata, mark: line.mark(0) }, self.out);
        Some(())
    }

    /// TTL and class before the type, in either order, both optional.
    fn ttl_and_class(&mut self, line: Line<'_>, mut at: usize) -> Option<(Option<u32>, usize)> {
        let (mut ttl_s, mut class) = (None, false);
        while let Some(token) = line.tokens.get(at) {
            if ttl_s.is_none() && token.text.starts_with(|c: char| c.is_ascii_digit()) {
                ttl_s = Some(self.seconds(line, at)?);
                self.stated_ttl_s = ttl_s;
            } else if !class && (token.text.eq_ignore_ascii_case("IN") || token.text.eq_ignore_ascii_case("CLASS1")) {
                class = true;
            } else if is_other_class(token.text) {
                let text = format!("class `{}` is not served: zones are of class IN", token.text);
                self.out.error(line.mark(at), text);
                return None;
            } else {
                break;
            }
            at += 1;
        }
        Some((ttl_s.or(self.ttl_s).or(self.stated_ttl_s).or(self.zone.ttl_s), at))
    }

    fn rtype(&mut self, line: Line<'_>, at: usize) -> Option<u16> {
        let Some(token) = line.tokens.get(at) else {
            self.out.error_hint(line.mark(at), "the record ends before its type", "write `OWNER [TTL] [IN] TYPE DATA`");
            return None;
        };
        let Some(rtype) = rtype::parse(token.text) else {
            unknown_type(token.text, line.mark(at), "write `OWNER [TTL] [IN] TYPE DATA`", self.out);
            return None;
        };
        match refusal(rtype).filter(|_| rtype != rtype::SOA) {
            Some(_) if self.zone.drops_signatures && [rtype::RRSIG, rtype::NSEC, rtype::NSEC3, rtype::NSEC3PARAM].contains(&rtype) => {
                self.dropped += 1;
                None
            }
            Some(hint) => {
                self.out.error_hint(line.mark(at), format!("`{}` records cannot be written here", rtype::name(rtype)), hint);
                None
            }
            None => Some(rtype),
        }
    }

    fn directive(&mut self, line: Line<'_>, scope: &mut Scope) -> Option<()> {
        let known: [(&str, usize); 4] = [("$ORIGIN", 1), ("$TTL", 1), ("$INCLUDE", 2), ("$GENERATE", usize::MAX)];
        let word = line.tokens[0].text;
        let Some((directive, most)) = known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word)) else {
            let text = format!("unknown directive `{}`", shortened(word));
            self.out.error_hint(
                line.mark(0),
                text,
                "there are `$ORIGIN`, `$TTL`, `$INCLUDE` and `$GENERATE`; an owner that begins so is written `\\$`",
            );
            return None;
        };
        let values = line.tokens.len() - 1;
        if values == 0 || values > most {
            let text = if values == 0 { format!("`{directive}` has no value") } else { format!("this is too much behind `{directive}`") };
            self.out.error(line.mark(if values == 0 { 0 } else { most + 1 }), text);
            return None;
        }
        match directive {
            "$ORIGIN" => scope.origin = self.name(line, 1, &scope.origin)?,
            "$TTL" => self.ttl_s = Some(self.seconds(line, 1)?),
            "$INCLUDE" => self.include(line, scope)?,
            _ => self.generate(line, scope)?,
        }
        Some(())
    }

    /// `$INCLUDE file [origin]`: origin and owner are as before behind it (RFC 1035 5.1), `$TTL` goes on (as in BIND).
    fn include(&mut self, line: Line<'_>, scope: &Scope) -> Option<()> {
        let origin = if line.tokens.len() > 2 { self.name(line, 2, &scope.origin)? } else { scope.origin.clone() };
        let mark = line.mark(1);
        self.includes += 1;
        if scope.depth == MAX_INCLUDE_DEPTH || self.includes > MAX_INCLUDES {
            let text = if self.includes > MAX_INCLUDES {
                format!("more than {MAX_INCLUDES} files are included")
            } else {
                format!("files include each other more than {MAX_INCLUDE_DEPTH} deep")
            };
            self.out.error_hint(mark, text, "does a file include itself?");
            return None;
        }
        let path = files::resolve(line.tokens[1].text, &mark);
        if !files::is_below(&path, &self.home) {
            let text = format!("`{}` lies outside the folder of the zone's file", path.display());
            self.out.error_hint(mark, text, "only files in that folder and below it are included");
            return None;
        }
        let source = files::read_text(&path, self.octets_left, &mark, self.out)?;
        self.octets_left -= self.octets_left.min(source.text.len() as u64);
        self.file(&source, origin, scope.depth + 1);
        Some(())
    }

    /// `$GENERATE range owner [ttl] [class] type data`; the first fault ends it.
    fn generate(&mut self, line: Line<'_>, scope: &Scope) -> Option<()> {
        let Some(range) = generate::range(line.tokens[1].text) else {
            let text = format!("`{}` is not a range", shortened(line.tokens[1].text));
            self.out.error_hint(line.mark(1), text, "write `START-STOP` or `START-STOP/STEP`, as in `1-254`");
            return None;
        };
        let (ttl_s, at) = self.ttl_and_class(line, 3)?;
        let rtype = self.rtype(line, at)?;
        let template = generate::Template {
            owner: line.tokens[2].text,
            head: format!("{} {}", ttl_s.map(|ttl_s| ttl_s.to_string()).unwrap_or_default(), rtype::name(rtype)),
            data: generate::data_template(&line.tokens[at + 1..]),
        };
        let mark = line.mark(0);
        let mut scope = Scope { origin: scope.origin.clone(), owner: None, depth: scope.depth };
        for number in range {
            let made = template.record(number).map_err(|text| self.out.error(mark.clone(), text)).ok()?;
            let mut tokens = Vec::new();
            match Lexer::of_data(&made).next(&mut tokens)? {
                Ok(_) => self.entry(Line { tokens: &tokens, origin: Origin::Made(&mark) }, false, &mut scope)?,
                Err(fault) => {
                    self.out.error(mark, format!("`{}`: {}", shortened(&made), fault.kind));
                    return None;
                }
            }
        }
        Some(())
    }

    fn count(&mut self, line: Line<'_>) -> Option<()> {
        self.records += 1;
        if self.records == MAX_RECORDS_OF_ZONE + 1 {
            self.out.error(line.mark(0), format!("the zone has more than {MAX_RECORDS_OF_ZONE} records"));
        }
        (self.records <= MAX_RECORDS_OF_ZONE).then_some(())
    }

    fn seconds(&mut self, line: Line<'_>, at: usize) -> Option<u32> {
        let text = line.tokens[at].text;
        let seconds = number::seconds(text).filter(|seconds| u64::from(*seconds) <= MAX_TTL_S);
        if seconds.is_none() {
            let text = format!("`{}` is not a TTL", shortened(text));
            self.out.error_hint(line.mark(at), text, format!("write seconds up to {MAX_TTL_S}, or a time as in `1h30m`"));
        }
        seconds
    }

    fn name(&mut self, line: Line<'_>, at: usize, origin: &Name) -> Option<Name> {
        let text = line.tokens[at].text;
        Name::parse(text, Some(origin))
            .map_err(|error| self.out.error(line.mark(at), format!("`{}` is not a name: {error}", shortened(text))))
            .ok()
    }

    fn start(&mut self, owner: &Name, ttl_s: Option<u32>, rdata: &[u8], mark: Mark) -> Option<()> {
        if owner != self.zone.apex {
            let text = format!("this SOA is of `{owner}`, and the zone is `{}`", self.zone.apex);
            self.out.error_hint(mark, text, "a zone has one SOA, at its apex");
            return None;
        }
        if let Some((_, first)) = &self.soa {
            let text = format!("a second SOA; the first is at {}:{}", first.source.path.display(), first.line);
            self.out.error_hint(mark, text, "a zone has one SOA");
            return None;
        }
        let (soa, minimum_s) = soa_from_rdata(rdata)?;
        self.soa = Some((Soa { ttl_s: ttl_s.unwrap_or(minimum_s), ..soa }, mark));
        Some(())
    }
}

/// Two names and five numbers (RFC 1035 3.3.13), and the last of them; the TTL is for the caller to say.
fn soa_from_rdata(rdata: &[u8]) -> Option<(Soa, u32)> {
    let (names, numbers) = rdata.split_last_chunk::<20>()?;
    let split = (1..names.len()).find(|end| Name::from_wire(&names[..*end]).is_ok())?;
    let (mname, rname) = (Name::from_wire(&names[..split]).ok()?, Name::from_wire(&names[split..]).ok()?);
    let [serial, refresh_s, retry_s, expire_s, minimum_s] = *numbers.as_chunks::<4>().0 else { return None };
    let [serial, refresh_s, retry_s, expire_s, minimum_s] = [serial, refresh_s, retry_s, expire_s, minimum_s].map(u32::from_be_bytes);
    Some((Soa { mname, rname, serial: Some(serial), refresh_s, retry_s, expire_s, minimum_s, ttl_s: minimum_s }, minimum_s))
}

/// Classes that are not served (RFC 6895 3.2).
fn is_other_class(text: &str) -> bool {
    let numbered =
        text.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("CLASS")) && text[5..].bytes().all(|octet| octet.is_ascii_digit());
    numbered && text.len() > 5 || ["CH", "HS", "CS", "NONE", "ANY"].iter().any(|class| class.eq_ignore_ascii_case(text))
}
