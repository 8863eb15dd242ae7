//! Which queries are logged: by class of answer, by client, by name. Asked by the thread that answers, so it allocates nothing and reads a
//! query again only where somebody wants to know more than the outcome tells.

use crate::answer::{Ask, Outcome};
use crate::config::model::{LoggedName, QueryLog as Settings};
use crate::geo::Prefix;
use crate::wire::query;

/// What is wanted.
#[derive(Debug)]
pub(super) struct Filter {
    /// A bit for each class of answers.
    classes: u8,
    clients: Box<[Prefix]>,
    names: Box<[LoggedName]>,
}

impl Filter {
    pub(super) fn new(settings: &Settings) -> Filter {
        let classes = settings.answers.iter().fold(0, |bits, class| bits | 1 << *class as u8);
        Filter {
            classes: if classes == 0 { u8::MAX } else { classes },
            clients: settings.clients.clone().into(),
            names: settings.names.clone().into(),
        }
    }

    #[inline]
    pub(super) fn wants(&self, ask: &Ask<'_>, outcome: &Outcome) -> bool {
        self.classes & 1 << outcome.class as u8 != 0 && (self.clients.is_empty() && self.names.is_empty() || self.wants_query(ask, outcome))
    }

    fn wants_query(&self, ask: &Ask<'_>, outcome: &Outcome) -> bool {
        let is_client = |address| self.clients.iter().any(|network| network.contains(address));
        let is_peer = self.clients.is_empty() || is_client(ask.peer.ip());
        if is_peer && self.names.is_empty() {
            return true;
        }
        if !is_peer && !outcome.ecs {
            return false;
        }
        // What cannot be read has neither a name nor a client subnet.
        let Ok(query) = query::parse(ask.bytes) else { return false };
        let subnet = || query.edns.as_ref().and_then(|edns| edns.ecs?.address());
        let is_name = self.names.is_empty() || self.names.iter().any(|wanted| is_named(query.question.name(), wanted));
        is_name && (is_peer || subnet().is_some_and(is_client))
    }
}

/// Whether a name as received is the wanted one, or below it.
fn is_named(name: &[u8], wanted: &LoggedName) -> bool {
    // Lengths of labels are no letters, so octets compare as names do.
    let is_it = |name: &[u8]| name.eq_ignore_ascii_case(wanted.name.as_wire());
    if !wanted.is_below {
        return is_it(name);
    }
    let mut rest = name;
    while let Some((octets, behind)) = rest.split_first() {
        let Some(parent) = behind.get(usize::from(*octets)..).filter(|_| *octets > 0) else { return false };
        if is_it(parent) {
            return true;
        }
        rest = parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn a_name_is_itself_or_below_in_any_letter_case() {
        let name = |text: &str| Name::parse(text, None).unwrap();
        let asked = |text: &str| name(text).as_wire().to_vec();
        let wanted = |text: &str, is_below| LoggedName { name: name(text), is_below };
        let mixed = asked("www.example.com.").to_ascii_uppercase();
        assert!(is_named(&mixed, &wanted("www.example.com.", false)) && is_named(&mixed, &wanted("example.com.", true)));
        for (asked_for, text, is_below) in
            [("example.com.", "example.com.", true), ("www.example.com.", "example.com.", false), ("wexample.com.", "example.com.", true)]
        {
            assert!(!is_named(&asked(asked_for), &wanted(text, is_below)), "{asked_for} {text}");
        }
        assert!(is_named(&asked("a.b."), &wanted(".", true)) && is_named(&asked("."), &wanted(".", false)));
        assert!(!is_named(&[7, b'x'], &wanted("x.", true)), "half a name");
    }
}
