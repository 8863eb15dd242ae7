//! From a master file to the same zone in YAML, as an operator would have typed it.
//! It reads files and writes none; what it gives loads to the same records, byte for byte.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::files;
use super::master::{self, MasterFile, Placed};
use crate::diag::{Diagnostics, Mark, Source};
use crate::name::Name;
use crate::wire::rtype;
use crate::zone::build::Soa;
use crate::zone::rrset::{Rrset, txt_from_strings};
use crate::zone::text::{name_below, text_from_rdata};

/// Longer lines are broken.
const MAX_COLUMNS: usize = 120;

/// The `*` of a wildcard in octal, where a name begins.
const OCTAL_STAR: &str = "\\052";

/// What became of a master file.
#[derive(Debug)]
pub struct Imported {
    /// The zone file; none when there was an error.
    pub yaml: Option<String>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
}

/// Reads the master file at `path` for the zone `origin`; left out, it is the owner of the SOA, where the file says it in full.
pub fn import(path: &Path, origin: Option<&Name>) -> Imported {
    let mut diagnostics = Diagnostics::new();
    let yaml = read(path, origin, &mut diagnostics).filter(|_| !diagnostics.has_errors());
    Imported { yaml, diagnostics }
}

fn read(path: &Path, origin: Option<&Name>, out: &mut Diagnostics) -> Option<String> {
    let source = files::read_text(path, files::MAX_TEXT_OCTETS, &Mark::path(path), out)?;
    let Some(apex) = origin.cloned().or_else(|| master::apex_of(&source.text)) else {
        out.error_hint(Mark::file(&source), "the file does not say the name of its zone in full", "name it with `--origin NAME`");
        return None;
    };
    let file = master::read(&source, &master::Zone { apex: &apex, ttl_s: None, drops_signatures: true }, out);
    warn_of_octal(&source, out);
    if file.soa.is_none() {
        let hint = "the zone file that is written gets the usual one, its serial a hash of the content";
        out.warning_hint(Mark::file(&source), format!("no SOA of `{apex}` is in this file"), hint);
    }
    Some(zone_file(&apex, &file))
}

/// Warns of owners as Route 53 exports wildcards: in octal, where RFC 1035 (5.1) has decimal digits. They are read as the standard says.
fn warn_of_octal(source: &Arc<Source>, out: &mut Diagnostics) {
    for (line, _) in (1..).zip(source.text.lines()).filter(|(_, text)| text.starts_with(OCTAL_STAR)) {
        let text = format!("`{OCTAL_STAR}` is `4` (RFC 1035 5.1: the digits are decimal), which is seldom an owner");
        out.warning_hint(Mark::new(source, line, 1), text, "Route 53 writes the wildcard so, in octal: write `*` instead");
    }
}

/// The whole text.
fn zone_file(apex: &Name, file: &MasterFile) -> String {
    let ttl_s = usual_ttl_s(file);
    let mut yaml =
        format!("zone: {}\nttl: {ttl_s}\n", scalar(apex.to_string().strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(".")));
    if let Some((soa, _)) = &file.soa {
        yaml += &soa_line(soa, apex, ttl_s);
    }
    let is_ns = |set: &&Placed| set.owner == *apex && set.rrset.rtype() == rtype::NS && set.rrset.ttl_s() == ttl_s;
    let name_servers = file.rrsets.iter().find(is_ns);
    if let Some(set) = name_servers {
        let (_, values) = values(&set.rrset, apex);
        _ = writeln!(yaml, "ns: {}", list(&values));
    }
    let owners = by_owner(file.rrsets.iter().filter(|set| name_servers.is_none_or(|ns| !std::ptr::eq(*set, ns))));
    if !owners.is_empty() {
        yaml += "records:\n";
    }
    for (owner, sets) in owners {
        write_owner(&mut yaml, &name_below(owner, apex), &sets, apex, ttl_s);
    }
    yaml
}

/// The TTL that most RRsets have; of several the shortest.
fn usual_ttl_s(file: &MasterFile) -> u32 {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for set in &file.rrsets {
        *counts.entry(set.rrset.ttl_s()).or_default() += 1;
    }
    let usual = counts.into_iter().max_by_key(|(ttl_s, count)| (*count, std::cmp::Reverse(*ttl_s)));
    usual.map_or_else(|| file.soa.as_ref().map_or(0, |(soa, _)| soa.ttl_s), |(ttl_s, _)| ttl_s)
}

/// RRsets by owner, in the order of first mention.
fn by_owner<'f>(sets: impl Iterator<Item = &'f Placed>) -> Vec<(&'f Name, Vec<&'f Rrset>)> {
    let mut owners: Vec<(&Name, Vec<&Rrset>)> = Vec::new();
    let mut index: HashMap<&Name, usize> = HashMap::new();
    for set in sets {
        let at = *index.entry(&set.owner).or_insert(owners.len());
        if at == owners.len() {
            owners.push((&set.owner, Vec::new()));
        }
        owners[at].1.push(&set.rrset);
    }
    owners
}

fn soa_line(soa: &Soa, apex: &Name, zone_ttl_s: u32) -> String {
    let Soa { mname, rname, serial, refresh_s, retry_s, expire_s, minimum_s, ttl_s } = soa;
    let [mname, rname] = [mname, rname].map(|name| scalar(&name_below(name, apex)));
    let serial = serial.map(|serial| format!(", serial: {serial}")).unwrap_or_default();
    let ttl = if *ttl_s == zone_ttl_s { String::new() } else { format!(", ttl: {ttl_s}") };
    format!(
        "soa: {{mname: {mname}, rname: {rname}{serial}, refresh: {refresh_s}, retry: {retry_s}, expire: {expire_s}, minimum: {minimum_s}{ttl}}}\n"
    )
}

/// One entry of `records`, on one line if it fits.
fn write_owner(yaml: &mut String, owner: &str, sets: &[&Rrset], apex: &Name, ttl_s: u32) {
    let entries: Vec<(String, String)> = sets.iter().map(|rrset| entry(rrset, apex, ttl_s)).collect();
    let owner = scalar(owner);
    let joined = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ");
    if owner.len() + joined.len() + 6 <= MAX_COLUMNS {
        _ = writeln!(yaml, "  {owner}: {{{joined}}}");
        return;
    }
    _ = writeln!(yaml, "  {owner}:");
    for ((key, value), rrset) in entries.iter().zip(sets) {
        if key.len() + value.len() + 6 <= MAX_COLUMNS {
            _ = writeln!(yaml, "    {key}: {value}");
            continue;
        }
        let (_, values) = values(rrset, apex);
        let indent = if rrset.ttl_s() == ttl_s {
            _ = writeln!(yaml, "    {key}:");
            "      "
        } else {
            _ = writeln!(yaml, "    {key}:\n      ttl: {}\n      values:", rrset.ttl_s());
            "        "
        };
        values.iter().for_each(|value| _ = writeln!(yaml, "{indent}- {value}"));
    }
}

/// The key and the value of an RRset on one line.
fn entry(rrset: &Rrset, apex: &Name, ttl_s: u32) -> (String, String) {
    let (key, values) = values(rrset, apex);
    let text = list(&values);
    if rrset.ttl_s() == ttl_s { (key, text) } else { (key, format!("{{ttl: {}, values: {text}}}", rrset.ttl_s())) }
}

/// One value as it is, several as a list; one that is a list itself (a TXT of several strings) needs a list around it.
fn list(values: &[String]) -> String {
    match values {
        [value] if !value.starts_with('[') => value.clone(),
        _ => format!("[{}]", values.join(", ")),
    }
}

/// The key of an RRset and its values. TXT is plain text; where it is not text at all, it is written as data (RFC 3597 5).
fn values(rrset: &Rrset, apex: &Name) -> (String, Vec<String>) {
    if rrset.rtype() == rtype::TXT {
        let texts: Option<Vec<String>> = rrset.iter().map(plain_text).collect();
        return match texts {
            Some(texts) => ("TXT".to_owned(), texts),
            None => (format!("TYPE{}", rtype::TXT), data(rrset, apex)),
        };
    }
    (rtype::name(rrset.rtype()).into_owned(), data(rrset, apex))
}

fn data(rrset: &Rrset, apex: &Name) -> Vec<String> {
    // The reader has made this data from text, so that it has one.
    rrset.iter().filter_map(|rdata| text_from_rdata(rrset.rtype(), rdata, Some(apex)).ok()).map(|text| scalar(&text)).collect()
}

/// The strings of a TXT as one text, if it is split again where it was, else as a list; `None` if they are no text.
fn plain_text(rdata: &[u8]) -> Option<String> {
    let mut strings: Vec<&[u8]> = Vec::new();
    let mut rest = rdata;
    while let Some((length, tail)) = rest.split_first() {
        let (string, tail) = tail.split_at_checked((*length).into())?;
        strings.push(string);
        rest = tail;
    }
    if let Some(joined) = String::from_utf8(strings.concat()).ok().filter(|joined| txt_from_strings(&[joined]).as_deref() == Ok(rdata)) {
        return Some(scalar(&joined));
    }
    let texts: Option<Vec<String>> = strings.iter().map(|string| Some(scalar(std::str::from_utf8(string).ok()?))).collect();
    Some(format!("[{}]", texts?.join(", ")))
}

/// A text as a YAML scalar, with quotes where it needs them.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | ' ');
    let is_word = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && text.chars().all(is_plain);
    if is_word && !text.ends_with(' ') && !["null", "true", "false"].contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let is_visible = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if text.contains(['"', '\\']) && text.chars().all(is_visible) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_visible(c) => quoted.push(c),
            c => _ = write!(quoted, "\\U{:08x}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_in_octal_is_told_of() {
        let source = Source::new("t", "www A 192.0.2.1\n\\052.example.com. 300 IN A 192.0.2.1\n* A 192.0.2.2\n");
        let mut out = Diagnostics::new();
        warn_of_octal(&source, &mut out);
        let said = out.to_string();
        assert!(said.starts_with("t:2:1: warning: `\\052` is `4`") && said.contains("write `*` instead"), "{said}");
        assert_eq!(out.iter().count(), 1);
    }

    #[test]
    fn scalars_are_quoted_where_yaml_wants_it() {
        for (text, expected) in [
            ("www", "www"),
            ("10 mail.example.net.", "10 mail.example.net."),
            ("@", "\"@\""),
            ("*.wild", "\"*.wild\""),
            ("null", "\"null\""),
            ("2001:db8::1", "\"2001:db8::1\""),
            ("0 issue \"it's\"", "'0 issue \"it''s\"'"),
            ("\\# 1 00", "'\\# 1 00'"),
            ("a\u{7}\"", "\"a\\U00000007\\\"\""),
            ("", "\"\""),
            ("ü ", "\"ü \""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
