//! Service parameters of SVCB and HTTPS (RFC 9460 2.1, 2.2): `key=value` in any order as text, ascending by key in wire form.
//! Values of known keys are read and checked; all others are octets.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::code;
use super::read::shown;
use super::token::Token;
use crate::number;

/// Keys that have names and forms of their own (IANA "Service Parameter Keys"); a key's number is its index.
const KEYS: [&str; 10] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp", "tls-supported-groups"];

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
const GROUPS: u16 = 9;

/// Reserved (RFC 9460 14.3.2).
const INVALID_KEY: u16 = u16::MAX;

/// Reads parameters; the fault is the index of the token and what is wrong.
pub(super) fn read(tokens: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), (usize, String)> {
    let mut params: Vec<(u16, Vec<u8>)> = Vec::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        let (key, value) = param(token).map_err(|text| (index, text))?;
        if params.iter().any(|(known, _)| *known == key) {
            return Err((index, format!("`{}` stands twice", key_text(key))));
        }
        params.push((key, value));
    }
    params.sort_by_key(|(key, _)| *key);
    for (key, value) in params {
        out.extend_from_slice(&key.to_be_bytes());
        let length = u16::try_from(value.len()).map_err(|_| (0, format!("the value of `{}` is too long", key_text(key))))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&value);
    }
    Ok(())
}

/// Appends parameters as text; `None` if they are cut off.
pub(super) fn write(wire: &[u8], out: &mut String) -> Option<()> {
    let mut separator = "";
    for param in Params(wire) {
        let (key, value) = param?;
        write!(out, "{separator}{}", key_text(key)).ok()?;
        write_value(key, value, out)?;
        separator = " ";
    }
    Some(())
}

/// What RFC 9460 demands of parameters; `is_alias` tells that the priority is 0.
pub(super) fn check(is_alias: bool, wire: &[u8]) -> Result<(), String> {
    let params: Option<Vec<(u16, &[u8])>> = Params(wire).collect();
    let params = params.ok_or("the parameters are cut off")?;
    if is_alias && !params.is_empty() {
        return Err("priority 0 makes an alias, which takes no parameters (RFC 9460 2.4.2)".into());
    }
    if params.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return Err("the parameters do not ascend by key (RFC 9460 2.2)".into());
    }
    let has = |key: u16| params.iter().any(|(known, _)| *known == key);
    for (key, value) in &params {
        check_value(*key, value).ok_or_else(|| format!("the value of `{}` is not valid", key_text(*key)))?;
        let needed = value.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word));
        if let Some(lacking) = needed.filter(|_| *key == MANDATORY).find(|key| !has(*key)) {
            return Err(format!("`mandatory` names `{}`, which is not there", key_text(lacking)));
        }
    }
    if has(NO_DEFAULT_ALPN) && !has(ALPN) {
        return Err("`no-default-alpn` needs `alpn` (RFC 9460 7.1.1)".into());
    }
    Ok(())
}

/// Keys and values in wire form; ends with `None` where they are cut off.
struct Params<'w>(&'w [u8]);

impl<'w> Iterator for Params<'w> {
    type Item = Option<(u16, &'w [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let param = self.0.split_first_chunk::<4>().and_then(|([k0, k1, l0, l1], rest)| {
            let (value, rest) = rest.split_at_checked(u16::from_be_bytes([*l0, *l1]).into())?;
            Some(((u16::from_be_bytes([*k0, *k1]), value), rest))
        });
        self.0 = param.map_or(&[], |(_, rest)| rest);
        Some(param.map(|(param, _)| param))
    }
}

fn key_text(key: u16) -> String {
    KEYS.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
}

fn key_from_text(text: &str) -> Option<u16> {
    if let Some(key) = KEYS.iter().position(|name| *name == text) {
        return Some(key as u16);
    }
    let digits = text.strip_prefix("key").filter(|digits| *digits == "0" || !digits.starts_with('0'))?;
    number::digits(digits).filter(|key| *key != INVALID_KEY)
}

/// One `key` or `key=value`, the value in quotes or not.
fn param(token: &Token<'_>) -> Result<(u16, Vec<u8>), String> {
    let (name, value) = token.text.split_once('=').map_or((token.text, None), |(name, value)| (name, Some(value)));
    let unknown = || format!("`{}` is not a parameter: write `KEY=VALUE` with one of {}, or `keyNNN`", shown(token.text), KEYS.join(", "));
    let key = key_from_text(name).filter(|_| !token.quoted).ok_or_else(unknown)?;
    let quoted = value.and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
    let mut octets = Vec::new();
    let bad = || format!("`{}` is not a valid value of `{name}`", shown(value.unwrap_or("")));
    code::unescape(quoted.or(value).unwrap_or(""), &mut octets).ok_or_else(bad)?;
    if name.starts_with("key") {
        return Ok((key, octets));
    }
    let has_value = !matches!(key, NO_DEFAULT_ALPN | OHTTP);
    if has_value != value.is_some() {
        return Err(if has_value { format!("`{name}` needs a value: `{name}=...`") } else { format!("`{name}` takes no value") });
    }
    read_value(key, &octets).map(|value| (key, value)).ok_or_else(bad)
}

/// The wire form of a known key's value.
fn read_value(key: u16, octets: &[u8]) -> Option<Vec<u8>> {
    if key == ALPN {
        return alpn_from_text(octets);
    }
    let text = std::str::from_utf8(octets).ok()?;
    let list = || text.split(',');
    match key {
        MANDATORY => {
            let mut keys: Vec<u16> = list().map(key_from_text).collect::<Option<_>>()?;
            keys.sort_unstable();
            let distinct = keys.windows(2).all(|pair| pair[0] < pair[1]);
            distinct.then(|| keys.iter().flat_map(|key| key.to_be_bytes()).collect())
        }
        PORT => number::digits::<u16>(text).map(|port| port.to_be_bytes().to_vec()),
        IPV4HINT => {
            list().map(|text| text.parse::<Ipv4Addr>().ok().map(|address| address.octets())).collect::<Option<Vec<_>>>().map(|v| v.concat())
        }
        IPV6HINT => {
            list().map(|text| text.parse::<Ipv6Addr>().ok().map(|address| address.octets())).collect::<Option<Vec<_>>>().map(|v| v.concat())
        }
        GROUPS => list().map(|text| number::digits::<u16>(text).map(u16::to_be_bytes)).collect::<Option<Vec<_>>>().map(|v| v.concat()),
        ECH => {
            let mut value = Vec::new();
            code::read_base64([text].into_iter(), &mut value).filter(|()| !value.is_empty())?;
            Some(value)
        }
        _ => Some(octets.to_vec()),
    }
}

/// A list at commas, in which `\,` and `\\` are a comma and a backslash (RFC 9460 A.1); each with its length before it.
fn alpn_from_text(octets: &[u8]) -> Option<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut rest = octets.iter();
    while let Some(octet) = rest.next() {
        match octet {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(*rest.next().filter(|octet| matches!(octet, b',' | b'\\'))?),
            octet => items.last_mut()?.push(*octet),
        }
    }
    let mut wire = Vec::new();
    for item in items {
        wire.push(u8::try_from(item.len()).ok().filter(|length| *length > 0)?);
        wire.extend(item);
    }
    Some(wire)
}

/// `=value`, or nothing where there is none.
fn write_value(key: u16, value: &[u8], out: &mut String) -> Option<()> {
    let joined = |texts: Vec<String>| format!("={}", texts.join(","));
    let words = || value.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word));
    check_value(key, value)?;
    match key {
        MANDATORY => *out += &joined(words().map(key_text).collect()),
        PORT | GROUPS => *out += &joined(words().map(|number| number.to_string()).collect()),
        IPV4HINT => *out += &joined(value.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets).to_string()).collect()),
        IPV6HINT => *out += &joined(value.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets).to_string()).collect()),
        ECH => {
            out.push('=');
            code::write_base64(value, out);
        }
        ALPN => {
            let escaped =
                |item: &[u8]| item.iter().flat_map(|o| if b",\\".contains(o) { vec![b'\\', *o] } else { vec![*o] }).collect::<Vec<u8>>();
            let list: Vec<Vec<u8>> = alpn_items(value)?.into_iter().map(escaped).collect();
            out.push('=');
            code::quote(&list.join(&b','), out);
        }
        NO_DEFAULT_ALPN | OHTTP => {}
        _ if value.is_empty() && key > GROUPS => {}
        _ => {
            out.push('=');
            code::quote(value, out);
        }
    }
    Some(())
}

fn alpn_items(wire: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut items, mut rest) = (Vec::new(), wire);
    while let Some((length, tail)) = rest.split_first() {
        let (item, tail) = tail.split_at_checked((*length).into()).filter(|(item, _)| !item.is_empty())?;
        items.push(item);
        rest = tail;
    }
    Some(items).filter(|items| !items.is_empty())
}

/// `None` if the wire form of a known key's value is not valid.
fn check_value(key: u16, value: &[u8]) -> Option<()> {
    let several_of = |octets: usize| !value.is_empty() && value.len().is_multiple_of(octets);
    let valid = match key {
        MANDATORY => {
            let keys: Vec<u16> = value.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word)).collect();
            several_of(2) && keys.windows(2).all(|pair| pair[0] < pair[1]) && !keys.contains(&MANDATORY)
        }
        ALPN => alpn_items(value).is_some(),
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4HINT => several_of(4),
        IPV6HINT => several_of(16),
        ECH => !value.is_empty(),
        DOHPATH => std::str::from_utf8(value).is_ok(),
        GROUPS => several_of(2),
        key => key != INVALID_KEY,
    };
    valid.then_some(())
}
