//! The endpoints of one service in one region, and the monitor that watches them.
//! It judges addresses and weights; how a probe is made is judged by the monitor's own file.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{state, weight};
use crate::config::files;
use crate::config::model::{Endpoint, Offer, ServiceId};
use crate::config::spec::{Field, NO_SPACE, Node, Value, lacks_space};
use crate::diag::{Diagnostics, Mark};
use crate::health::monitor::tls::MAX_PEM_OCTETS;
use crate::health::{Monitor, MonitorSpec};
use crate::steer::Weight;
use crate::steer::balance::MAX_ENDPOINTS;

/// What stands in a list of endpoints.
const WANTED: &str = "an IP address, or a map such as `{address: 192.0.2.10, weight: 2}`";

/// One service of a region. The short form is its endpoints alone.
pub(super) fn offer(service: ServiceId, field: &Field<'_>, out: &mut Diagnostics) -> Offer {
    let mut offer = Offer { service, endpoints: Vec::new() };
    let (list, monitor) = match &field.node.value {
        Value::Map(_) => {
            let Some(fields) = field.fields("a map with `endpoints` and `monitor`", &["endpoints", "monitor"], out) else { return offer };
            let monitor = fields.get("monitor").and_then(|field| monitor(&field, out)).map(Arc::new);
            let Some(list) = fields.get("endpoints") else {
                let text = format!("service `{}` has no endpoints", field.key);
                out.error_hint(fields.mark.clone(), text, "add `endpoints: [192.0.2.10]`");
                return offer;
            };
            (list, monitor)
        }
        _ => (*field, None),
    };
    let items = list.filled_list("one or more addresses", out);
    if items.len() > MAX_ENDPOINTS {
        let text = format!("service `{}` has {} endpoints in this region, at most {MAX_ENDPOINTS} are allowed", field.key, items.len());
        out.error(list.mark(), text);
    }
    let mut seen: HashMap<IpAddr, Mark> = HashMap::new();
    for item in items.iter().take(MAX_ENDPOINTS) {
        let Some((endpoint, mark)) = endpoint(item, monitor.clone(), out) else { continue };
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
    offer
}

/// `ADDRESS`, or the map.
fn endpoint(item: &Field<'_>, monitor: Option<Arc<Monitor>>, out: &mut Diagnostics) -> Option<(Endpoint, Mark)> {
    if let Value::Scalar { .. } = item.node.value {
        let address = address(item, out)?;
        return Some((Endpoint { address, weight: Weight::ONE, state: None, monitor }, item.mark()));
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
    Some((Endpoint { address: address(&field, out)?, weight, state, monitor }, field.mark()))
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

/// Reads a file that a monitor names; relative paths start at the folder of the file that names it.
fn read_beside(path: &str, mark: &Mark) -> Result<Vec<u8>, String> {
    let path = files::resolve(path, mark);
    let octets = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
    if octets > MAX_PEM_OCTETS as u64 {
        return Err(format!("it has {octets} octets, at most {MAX_PEM_OCTETS} are allowed"));
    }
    std::fs::read(&path).map_err(|error| error.to_string())
}

/// The monitor, as its own file reads and judges it.
fn monitor(field: &Field<'_>, out: &mut Diagnostics) -> Option<Monitor> {
    let spec: MonitorSpec = field.typed(out)?;
    let problems = match spec.check(&mut |path| read_beside(path, &field.node.mark)) {
        Ok(monitor) => return Some(monitor),
        Err(problems) => problems,
    };
    for problem in problems {
        let mark = problem.place.map_or_else(|| field.mark(), |(line, column)| Mark::new(&field.node.mark.source, line, column));
        match problem.hint {
            Some(hint) => out.error_hint(mark, problem.what, hint),
            None => out.error(mark, problem.what),
        }
    }
    None
}
