//! DNAME substitution (RFC 6672 2.2): the owner at the end of a name gives way to the target.
//! It works on wire form and allocates nothing where a query is answered.

use super::rrset::Rrset;
use crate::name::{MAX_NAME_OCTETS, Name};
use crate::wire::QUESTION_FIXED_OCTETS;
use crate::wire::qname::QName;

/// A renamed name on the stack, in the forms in which an answer needs it.
pub struct Renamed {
    /// Length (16 bits), name, and room for the type and class of a question.
    octets: [u8; LENGTH_OCTETS + MAX_NAME_OCTETS + QUESTION_FIXED_OCTETS],
    name_octets: usize,
}

/// Octets before the data of a record in an RRset.
const LENGTH_OCTETS: usize = 2;

impl Renamed {
    /// `name` (below `owner`) as the DNAME of `owner` renames it.
    ///
    /// `None` if that would be too long, which is answered with YXDOMAIN (RFC 6672 2.2).
    pub fn of(name: &[u8], owner: &Name, dname: &Rrset) -> Option<Renamed> {
        let mut octets = [0; _];
        let target = dname.iter().next()?;
        let name_octets = substitute(name, owner.as_wire(), target, &mut octets[LENGTH_OCTETS..][..MAX_NAME_OCTETS])?;
        octets[..LENGTH_OCTETS].copy_from_slice(&(name_octets as u16).to_be_bytes());
        Some(Renamed { octets, name_octets })
    }

    /// The new name.
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[LENGTH_OCTETS..][..self.name_octets]
    }

    /// The data of the CNAME that leads to it, as [`Rrset::rdatas`].
    pub fn rdatas(&self) -> &[u8] {
        &self.octets[..LENGTH_OCTETS + self.name_octets]
    }

    /// The new name for a look-up.
    pub fn qname(&self) -> QName {
        let mut qname = QName::default();
        qname.read_raw(&self.octets[LENGTH_OCTETS..][..self.name_octets + QUESTION_FIXED_OCTETS]);
        qname
    }
}

/// Writes `name` with `owner` at its end replaced by `target` to the start of `out`: its length, or `None` if it does not fit.
fn substitute(name: &[u8], owner: &[u8], target: &[u8], out: &mut [u8]) -> Option<usize> {
    let kept = name.len().checked_sub(owner.len())?;
    let length = kept + target.len();
    out.get_mut(..kept)?.copy_from_slice(&name[..kept]);
    out.get_mut(kept..length)?.copy_from_slice(target);
    Some(length)
}

/// The same as a [`Name`], for the load.
pub(super) fn renamed(name: &Name, owner: &Name, target: &Name) -> Option<Name> {
    let mut out = [0; MAX_NAME_OCTETS];
    let length = substitute(name.as_wire(), owner.as_wire(), target.as_wire(), &mut out)?;
    Name::from_wire(&out[..length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text, None).unwrap()
    }

    /// The table of RFC 6672 2.2.
    #[test]
    fn names_are_renamed_as_in_rfc_6672() {
        for (before, owner, target, after) in [
            ("a.example.com.", "example.com.", "example.net.", "a.example.net."),
            ("a.b.example.com.", "example.com.", "example.net.", "a.b.example.net."),
            ("foo.example.com.", "example.com.", "example.com.", "foo.example.com."),
            ("a.x.example.com.", "x.example.com.", "example.net.", "a.example.net."),
            ("a.example.com.", "example.com.", "y.example.net.", "a.y.example.net."),
            ("cyc.example.com.", "example.com.", "example.com.", "cyc.example.com."),
            ("A.Example.Com.", "example.com.", "Example.NET.", "A.Example.NET."),
            ("shortloop.x.x.", "x.", ".", "shortloop.x."),
        ] {
            let result = renamed(&name(before), &name(owner), &name(target)).unwrap();
            assert_eq!(result.to_string(), after, "{before}");
        }
    }

    #[test]
    fn a_name_of_255_octets_is_the_longest() {
        let label = |octets: usize| "x".repeat(octets);
        let target = name(&format!("{0}.{0}.{0}.", label(63)));
        let fits = name(&format!("{}.o.", label(61)));
        let renamed_octets = |before: &Name| renamed(before, &name("o."), &target).map(|name| name.as_wire().len());
        assert_eq!(renamed_octets(&fits), Some(255));
        assert_eq!(renamed_octets(&name(&format!("{}.o.", label(62)))), None);
    }
}
