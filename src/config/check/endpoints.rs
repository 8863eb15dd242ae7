//! The endpoints of one service in one region.
//! It judges addresses and weights; what watches them is for `monitors`.

use std::collections::HashMap;
use std::net::IpAddr;

use super::capacity::capacity;
use super::monitors::{self, Required};
use super::records::region_records;
use super::{state, weight};
use crate::config::model::{At, Endpoint, Offer, ServiceId};
use crate::config::spec::{Field, NO_SPACE, Node, Value, lacks_space};
use crate::diag::{Diagnostics, Mark};
use crate::geo::Family;
use crate::health::hosts::{MAX_HOST_ADDRESSES, MAX_HOST_NAME};
use crate::steer::Weight;
use crate::steer::balance::MAX_ENDPOINTS;

/// What stands in a list of endpoints.
const WANTED: &str = "an IP address, a host name, or a map such as `{address: 192.0.2.10, weight: 2}`";

/// Keys of a service in a region.
const KEYS: [&str; 9] = ["endpoints", "records", "monitor", "combine", "requires", "failback", "ramp", "degraded_admit", "capacity"];

/// One service of a region. The short form is its endpoints alone.
pub(super) fn offer(service: ServiceId, field: &Field<'_>, out: &mut Diagnostics) -> (Offer, Vec<Required>) {
    let mut offer = Offer::new(service);
    let mut required = Vec::new();
    let list = match &field.node.value {
        Value::Map(_) => {
            let Some(fields) = field.fields("a map with `endpoints` and `monitor`", &KEYS, out) else { return (offer, required) };
            required = monitors::settings(&fields, &mut offer, out);
            offer.capacity = fields.get("capacity").and_then(|field| capacity(&field, out));
            offer.records = fields.get("records").map(|field| region_records(&field, out)).unwrap_or_default();
            if fields.get("endpoints").is_none() && fields.get("records").is_some() {
                return (offer, required);
            }
            let Some(list) = fields.get("endpoints") else {
                let text = format!("service `{}` has no endpoints", field.key);
                out.error_hint(fields.mark.clone(), text, "add `endpoints: [192.0.2.10]`");
                return (offer, required);
            };
            list
        }
        _ => *field,
    };
    let items = list.filled_list("one or more addresses", out);
    let mut seen: HashMap<At, Mark> = HashMap::new();
    for item in items.iter().take(MAX_ENDPOINTS + 1) {
        let Some((endpoint, mark)) = endpoint(item, out) else { continue };
        if let Some(first) = seen.get(&endpoint.at) {
            let what = if let At::Address(_) = endpoint.at { "address" } else { "host" };
            let text = format!("the {what} `{}` stands twice in this service", endpoint.at);
            out.error_hint(
                mark,
                text,
                format!("the first is on line {}; remove one, and give the other a weight if it was meant to count twice", first.line),
            );
            continue;
        }
        seen.insert(endpoint.at.clone(), mark);
        offer.endpoints.push(endpoint);
    }
    // What is wrong with an item takes no place from the others: the list is as long as it is.
    let hosts: usize = offer.endpoints.iter().map(|endpoint| endpoint.places() - 1).sum();
    if items.len() + hosts > MAX_ENDPOINTS {
        let counted = if hosts > 0 { format!(" (a host name counts as {MAX_HOST_ADDRESSES})") } else { String::new() };
        let text = format!(
            "service `{}` has {} endpoints in this region{counted}, at most {MAX_ENDPOINTS} are allowed",
            field.key,
            items.len() + hosts
        );
        out.error(list.mark(), text);
        offer.endpoints.clear();
    }
    (offer, required)
}

/// `ADDRESS`, `HOST`, or the map.
fn endpoint(item: &Field<'_>, out: &mut Diagnostics) -> Option<(Endpoint, Mark)> {
    if let Value::Scalar { .. } = item.node.value {
        let text = item.text(WANTED, out)?;
        let at = match host_name(text).filter(|name| name.contains('.')) {
            Some(name) => At::Host { name: name.into(), family: None },
            None => At::Address(address(text, item, out)?),
        };
        return Some((Endpoint { at, weight: Weight::ONE, state: None }, item.mark()));
    }
    if let Some(text) = unquoted_ipv6(item.node) {
        out.error_hint(item.mark(), format!("YAML reads `{text}` as a map"), format!("quote it: `\"{text}\"`"));
        return None;
    }
    let fields = item.fields(WANTED, &["address", "host", "family", "weight", "state"], out)?;
    let weight = fields.get("weight").and_then(|field| weight(&field, out)).unwrap_or(Weight::ONE);
    let state = fields.get("state").and_then(|field| state(&field, out));
    let family = fields.get("family").and_then(|field| family(&field, out));
    let (field, at) = match (fields.get("host"), fields.get("address")) {
        (Some(host), Some(_)) => {
            out.error_hint(host.mark(), "`host` beside `address`", "keep one of them; a monitor may probe another `address`");
            return None;
        }
        (Some(host), None) => (host, At::Host { name: host_of(&host, out)?.into(), family }),
        (None, _) => {
            let field = fields.need("address", "192.0.2.10", out)?;
            if fields.get("family").is_some() {
                out.error_hint(fields.key_mark("family"), "`family` is for a `host`", "an address has one already; remove it");
            }
            (field, At::Address(address(field.text(WANTED, out)?, &field, out)?))
        }
    };
    Some((Endpoint { at, weight, state }, field.mark()))
}

/// `family: ipv4 | ipv6`.
fn family(field: &Field<'_>, out: &mut Diagnostics) -> Option<Family> {
    let family = match field.scalar() {
        Some("ipv4") => Some(Family::V4),
        Some("ipv6") => Some(Family::V6),
        _ => None,
    };
    if family.is_none() {
        field.refuse_hint("`ipv4` or `ipv6`", "leave `family` out to use both", out);
    }
    family
}

fn host_of(field: &Field<'_>, out: &mut Diagnostics) -> Option<String> {
    let text = field.text("a host name", out)?;
    let name = host_name(text);
    if name.is_none() {
        let hint = "write a name such as `lb.example.net`; the probed port goes into the monitor";
        out.error_hint(field.mark(), format!("`{text}` is not a host name"), hint);
    }
    name
}

/// A host name (RFC 1123 2.1, with `_` as cloud providers use it) in lower case and without the final dot; its last label is no
/// number, or it would be a broken address.
fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    (name.len() <= MAX_HOST_NAME && name.split('.').all(fits) && last.chars().any(|c| c.is_ascii_alphabetic())).then_some(name)
}

fn address(text: &str, field: &Field<'_>, out: &mut Diagnostics) -> Option<IpAddr> {
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => {
            refuse_address(text, field, out);
            return None;
        }
    };
    if address.is_unspecified() || address.is_multicast() {
        out.error_hint(field.mark(), format!("`{address}` is no address that a client could reach"), "give the address of one server");
        return None;
    }
    Some(address)
}

/// A text that is no address: a socket, a network, a name or a slip.
fn refuse_address(text: &str, field: &Field<'_>, out: &mut Diagnostics) {
    if lacks_space(text) {
        out.error_hint(field.mark(), format!("`{text}` is not an IP address"), NO_SPACE);
        return;
    }
    let has_letters = text.chars().any(|c| c.is_ascii_alphabetic()) && !text.contains(':');
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        let hint = format!("write `{}`; the probed port goes into the monitor", socket.ip());
        out.error_hint(field.mark(), format!("`{text}` has a port, which DNS cannot answer"), hint);
    } else if let Some(host) = text.rsplit_once(':').and_then(|(host, port)| host_name(host).filter(|_| port.parse::<u16>().is_ok())) {
        let hint = format!("write `{host}`; the probed port goes into the monitor");
        out.error_hint(field.mark(), format!("`{text}` has a port, which DNS cannot answer"), hint);
    } else if text.contains('/') {
        out.error_hint(field.mark(), format!("`{text}` is not one address"), "list the addresses of the servers");
    } else if has_letters {
        let text = format!("`{text}` is neither an IP address nor a host name");
        out.error_hint(field.mark(), text, "write a whole name such as `lb.example.net`, or `{host: NAME}` for one without a dot");
    } else {
        out.error_hint(field.mark(), format!("`{text}` is not an IP address"), "write four numbers from 0 to 255, or an IPv6 address");
    }
}

/// `2001:db8:: 10` and the like come out of YAML as a map of one key.
fn unquoted_ipv6(node: &Node) -> Option<String> {
    let Value::Map(entries) = &node.value else { return None };
    let [(key, value)] = &entries[..] else { return None };
    let text = format!("{}:", key.text);
    (value.is_null() && text.parse::<IpAddr>().is_ok()).then_some(text)
}
