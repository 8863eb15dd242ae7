//! From wire form to the text that reads back as the same octets, part by part as a type's shape says.
//! Data that does not fit its shape is refused, so that this is also the check of data in the generic form (RFC 3597 5).

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::shape::{self, Part};
use super::{code, location, params};
use crate::name::{Name, name_octets};
use crate::wire::rtype;

/// The master-file text of one record's data; names at or below `origin` are written relative to it.
///
/// Types without a text form of their own, and the few data that theirs cannot express, get the generic form (RFC 3597 5).
/// Errors: the data is not of this type.
pub fn text_from_rdata(record_type: u16, rdata: &[u8], origin: Option<&Name>) -> Result<String, String> {
    let Some(shape) = shape::of(record_type) else { return Ok(generic(rdata)) };
    let broken = || format!("these {} octets are not valid {} data", rdata.len(), rtype::name(record_type));
    let mut data = Octets { rest: rdata, origin, out: String::new() };
    for part in shape.parts {
        if !data.out.is_empty() {
            data.out.push(' ');
        }
        data.part(*part).ok_or_else(broken)?;
    }
    if !data.rest.is_empty() {
        return Err(broken());
    }
    let is_expressed = record_type != rtype::LOC || location::is_canonical(rdata);
    Ok(if is_expressed { data.out.trim_end().to_owned() } else { generic(rdata) })
}

/// `\# LENGTH HEX` (RFC 3597 5).
pub(super) fn generic(rdata: &[u8]) -> String {
    let mut text = format!("\\# {}", rdata.len());
    if !rdata.is_empty() {
        text.push(' ');
        code::write_hex(rdata, &mut text);
    }
    text
}

/// Wire form while it is written as text.
struct Octets<'r> {
    rest: &'r [u8],
    origin: Option<&'r Name>,
    out: String,
}

impl<'r> Octets<'r> {
    /// Takes one part; `None` if it is not there.
    fn part(&mut self, part: Part) -> Option<()> {
        match part {
            Part::V4 => self.show::<4>(|octets| Ipv4Addr::from(octets).to_string())?,
            Part::V6 => self.show::<16>(|octets| Ipv6Addr::from(octets).to_string())?,
            Part::Name | Part::Host => self.name()?,
            Part::U8(_) | Part::Code8(..) => self.show::<1>(|[number]| number.to_string())?,
            Part::U16(_) | Part::Code16(..) => self.show(|octets| u16::from_be_bytes(octets).to_string())?,
            Part::U32(_) | Part::Seconds(_) => self.show(|octets| u32::from_be_bytes(octets).to_string())?,
            Part::String => {
                let octets = self.counted()?;
                code::quote(octets, &mut self.out);
            }
            Part::Strings => self.strings()?,
            Part::Text => {
                let octets = self.all();
                code::quote(octets, &mut self.out);
            }
            Part::Tag => {
                let tag = self.counted()?;
                self.out += std::str::from_utf8(tag).ok().filter(|_| super::check::is_tag(tag))?;
            }
            Part::Hex(_) => {
                let octets = self.some()?;
                code::write_hex(octets, &mut self.out);
            }
            Part::Base64(_) => {
                let octets = self.some()?;
                code::write_base64(octets, &mut self.out);
            }
            Part::Eui(octets) => self.eui(octets)?,
            Part::Location => self.show(|octets| location::write(&octets).unwrap_or_default())?,
            Part::Params => params::write(self.all(), &mut self.out)?,
        }
        Some(())
    }

    fn take(&mut self, octets: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.rest.split_at_checked(octets)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Takes so many octets as their text; an empty text is none.
    fn show<const N: usize>(&mut self, text: impl FnOnce([u8; N]) -> String) -> Option<()> {
        let text = Some(text(self.array()?)).filter(|text| !text.is_empty())?;
        self.out += &text;
        Some(())
    }

    fn counted(&mut self) -> Option<&'r [u8]> {
        let [length] = self.array()?;
        self.take(length.into())
    }

    fn all(&mut self) -> &'r [u8] {
        std::mem::take(&mut self.rest)
    }

    fn some(&mut self) -> Option<&'r [u8]> {
        Some(self.all()).filter(|octets| !octets.is_empty())
    }

    fn strings(&mut self) -> Option<()> {
        loop {
            let octets = self.counted()?;
            code::quote(octets, &mut self.out);
            if self.rest.is_empty() {
                return Some(());
            }
            self.out.push(' ');
        }
    }

    fn eui(&mut self, octets: usize) -> Option<()> {
        let pairs: Vec<String> = self.take(octets)?.iter().map(|octet| format!("{octet:02x}")).collect();
        write!(self.out, "{}", pairs.join("-")).ok()
    }

    fn name(&mut self) -> Option<()> {
        let name = Name::from_wire(self.take(name_octets(self.rest).ok()?)?).ok()?;
        match self.origin {
            Some(origin) => self.out += &name_below(&name, origin),
            None => write!(self.out, "{name}").ok()?,
        }
        Some(())
    }
}

/// A name as it is written below `$ORIGIN`: relative where the octets of `origin` are its end, letter case included.
pub fn name_below(name: &Name, origin: &Name) -> String {
    let (wire, suffix) = (name.as_wire(), origin.as_wire());
    let head = wire.strip_suffix(suffix).filter(|_| name.ends_with(origin) && !origin.is_root());
    match head.map(|head| Name::from_wire(&[head, &[0]].concat())) {
        Some(Ok(head)) if head.is_root() => "@".to_owned(),
        Some(Ok(head)) => head.to_string().trim_end_matches('.').to_owned(),
        _ => name.to_string(),
    }
}
