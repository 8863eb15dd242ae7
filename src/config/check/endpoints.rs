//! The endpoints of one service in one region.
//! It judges addresses and weights; what watches them is for `monitors`.

use std::collections::HashMap;
use std::net::IpAddr;

use super::monitors::{self, Required};
use super::records::region_records;
use super::{state, weight};
use crate::config::model::{Endpoint, Offer, ServiceId};
use crate::config::spec::{Field, NO_SPACE, Node, Value, lacks_space};
use crate::diag::{Diagnostics, Mark};
use crate::steer::Weight;
use crate::steer::balance::MAX_ENDPOINTS;

/// What stands in a list of endpoints.
const WANTED: &str = "an IP address, or a map such as `{address: 192.0.2.10, weight: 2}`";

/// Keys of a service in a region.
const KEYS: [&str; 8] = ["endpoints", "records", "monitor", "combine", "requires", "failback", "ramp", "degraded_admit"];

/// One service of a region. The short form is its endpoints alone.
pub(super) fn offer(service: ServiceId, field: &Field<'_>, out: &mut Diagnostics) -> (Offer, Vec<Required>) {
    let mut offer = Offer::new(service);
    let mut required = Vec::new();
    let list = match &field.node.value {
        Value::Map(_) => {
            let Some(fields) = field.fields("a map with `endpoints` and `monitor`", &KEYS, out) else { return (offer, required) };
            required = monitors::settings(&fields, &mut offer, out);
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
    if items.len() > MAX_ENDPOINTS {
        let text = format!("service `{}` has {} endpoints in this region, at most {MAX_ENDPOINTS} are allowed", field.key, items.len());
        out.error(list.mark(), text);
    }
    let mut seen: HashMap<IpAddr, Mark> = HashMap::new();
    for item in items.iter().take(MAX_ENDPOINTS) {
        let Some((endpoint, mark)) = endpoint(item, out) else { continue };
        if let Some(first) = seen.get(&endpoint.address) {
            let text = format!("the address `{}` stands twice in this service", endpoint.address);
            out.error_hint(
                mark,
                text,
                format!("the first is on line {}; remove one, and give the other a weight if it was meant to count twice", first.line),
            );
            continue;
        }
        seen.insert(endpoint.address, mark);
        offer.endpoints.push(endpoint);
    }
    (offer, required)
}

/// `ADDRESS`, or the map.
fn endpoint(item: &Field<'_>, out: &mut Diagnostics) -> Option<(Endpoint, Mark)> {
    if let Value::Scalar { .. } = item.node.value {
        let address = address(item, out)?;
        return Some((Endpoint { address, weight: Weight::ONE, state: None }, item.mark()));
    }
    if let Some(text) = unquoted_ipv6(item.node) {
        out.error_hint(item.mark(), format!("YAML reads `{text}` as a map"), format!("quote it: `\"{text}\"`"));
        return None;
    }
    let fields = item.fields(WANTED, &["address", "weight", "state"], out)?;
    let field = fields.need("address", "192.0.2.10", out);
    let weight = fields.get("weight").and_then(|field| weight(&field, out)).unwrap_or(Weight::ONE);
    let state = fields.get("state").and_then(|field| state(&field, out));
    let field = field?;
    Some((Endpoint { address: address(&field, out)?, weight, state }, field.mark()))
}

fn address(field: &Field<'_>, out: &mut Diagnostics) -> Option<IpAddr> {
    let text = field.text(WANTED, out)?;
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
    } else if text.contains('/') {
        out.error_hint(field.mark(), format!("`{text}` is not one address"), "list the addresses of the servers");
    } else if has_letters {
        let text = format!("`{text}` is not an IP address");
        out.error_hint(field.mark(), text, "host names as endpoints are not supported in this version, give an address");
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
