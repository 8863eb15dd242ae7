//! What an operator forced by hand at run time: on whom, what, why, by whom, until when (H4). Stronger than any probe.
//! Pure: it reads no file and asks no time; whoever keeps it does.

use super::view::{Layout, Override};

/// Overrides at one time: an operator sets them by hand.
pub const MAX_OVERRIDES: usize = 1024;

/// Longest reason and author, in characters.
pub const MAX_TEXT: usize = 200;

/// One override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// Whom it concerns.
    pub selector: Selector,
    /// What is forced.
    pub state: Override,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub author: String,
    /// Since when, in seconds since 1970.
    pub since_s: u64,
    /// Until when, in seconds since 1970; none = until it is cleared.
    pub until_s: Option<u64>,
}

/// Whom an override concerns: `REGION`, `REGION/SERVICE` or `REGION/SERVICE/ADDRESS`, each part with `*` for any characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector(String);

impl Selector {
    /// Reads a selector; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Selector, String> {
        let parts = text.split('/').count();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:*/".contains(c);
        if parts > 3 || text.len() > MAX_TEXT || text.split('/').any(str::is_empty) || !text.chars().all(allowed) {
            return Err(format!("`{}` is not REGION, REGION/SERVICE or REGION/SERVICE/ADDRESS", text.escape_default()));
        }
        Ok(Selector(text.to_owned()))
    }

    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it names this endpoint; a part that is left out names all.
    pub fn matches(&self, region: &str, service: &str, address: &str) -> bool {
        let mut parts = self.0.split('/');
        [region, service, address].into_iter().all(|word| parts.next().is_none_or(|pattern| glob(pattern, word)))
    }
}

/// `*` stands for any characters, none included; everything else for itself.
fn glob(pattern: &str, word: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = word.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// All overrides in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(Vec<Forced>);

impl Overrides {
    /// Puts one in force, in place of an earlier one with the same selector. The error says why not.
    pub fn force(&mut self, forced: Forced) -> Result<(), String> {
        self.0.retain(|earlier| earlier.selector != forced.selector);
        if self.0.len() >= MAX_OVERRIDES {
            return Err(format!("there are {MAX_OVERRIDES} overrides already"));
        }
        self.0.push(forced);
        Ok(())
    }

    /// Takes those with this selector, or with one that it matches as a pattern, out of force; gives back how many there were.
    pub fn clear(&mut self, selector: &Selector) -> usize {
        let before = self.0.len();
        self.0.retain(|forced| forced.selector != *selector && !glob(selector.as_str(), forced.selector.as_str()));
        before - self.0.len()
    }

    /// Takes out what has expired by now; gives it back.
    pub fn expire(&mut self, now_s: u64) -> Vec<Forced> {
        let (expired, stay) =
            std::mem::take(&mut self.0).into_iter().partition(|forced| forced.until_s.is_some_and(|until_s| until_s <= now_s));
        self.0 = stay;
        expired
    }

    /// When the next one expires, in seconds since 1970.
    pub fn next_expiry_s(&self) -> Option<u64> {
        self.0.iter().filter_map(|forced| forced.until_s).min()
    }

    /// In the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Forced> {
        self.0.iter()
    }

    /// The layout with these in force beside what the files say: out beats in, whoever says it. `address` names an endpoint.
    pub fn applied(&self, layout: &Layout, address: impl Fn(u32) -> String) -> Layout {
        let mut layout = layout.clone();
        if self.0.is_empty() {
            return layout;
        }
        for pool in &layout.pools {
            for id in pool.endpoints.clone() {
                let address = address(id);
                let here = self.0.iter().filter(|forced| forced.selector.matches(&pool.key.region, &pool.key.service, &address));
                let endpoint = &mut layout.endpoints[id as usize];
                endpoint.state = here.map(|forced| forced.state).max().max(endpoint.state);
            }
        }
        layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forced(selector: &str, state: Override, until_s: Option<u64>) -> Forced {
        let (reason, author) = ("why".to_owned(), "ops".to_owned());
        Forced { selector: Selector::parse(selector).unwrap(), state, reason, author, since_s: 0, until_s }
    }

    #[test]
    fn selectors_name_regions_services_and_endpoints_by_pattern() {
        for (selector, region, service, address, expected) in [
            ("eu-west", "eu-west", "web", "192.0.2.1", true),
            ("eu-west", "eu-west-2", "web", "192.0.2.1", false),
            ("eu-*", "eu-west", "web", "192.0.2.1", true),
            ("*/web", "us-east", "web", "192.0.2.1", true),
            ("*/web", "us-east", "api", "192.0.2.1", false),
            ("*/*/2001:db8::*", "us-east", "api", "2001:db8::7", true),
            ("*/*/192.0.2.1", "us-east", "api", "192.0.2.10", false),
            ("e*-w*t", "eu-west", "web", "", true),
            ("a*a", "a", "web", "", false),
        ] {
            assert_eq!(Selector::parse(selector).unwrap().matches(region, service, address), expected, "{selector} {region} {service}");
        }
        for bad in ["", "a/b/c/d", "a//b", "a b", "a\nb"] {
            assert!(Selector::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn h4_an_override_may_expire_and_is_replaced_by_a_later_one_on_the_same() {
        let mut overrides = Overrides::default();
        overrides.force(forced("a", Override::Down, Some(100))).unwrap();
        overrides.force(forced("a", Override::Drain, Some(200))).unwrap();
        overrides.force(forced("b/web", Override::Up, None)).unwrap();
        assert_eq!((overrides.iter().count(), overrides.next_expiry_s()), (2, Some(200)));
        assert_eq!(overrides.expire(199), []);
        assert_eq!(overrides.expire(200), [forced("a", Override::Drain, Some(200))]);
        assert_eq!(overrides.clear(&Selector::parse("b/*").unwrap()), 1);
        assert_eq!(overrides.iter().count(), 0);
    }

    #[test]
    fn there_is_a_limit() {
        let mut overrides = Overrides::default();
        (0..MAX_OVERRIDES).for_each(|n| overrides.force(forced(&format!("r{n}"), Override::Up, None)).unwrap());
        assert!(overrides.force(forced("one-more", Override::Up, None)).is_err());
    }
}
