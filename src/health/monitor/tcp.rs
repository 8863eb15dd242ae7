//! The monitor kind `tcp`: a target is good when it accepts a connection.
//! It never sends or reads a byte; what runs the probe is in `prober::tcp`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde_saphyr::Spanned;

/// `tcp: {port: 25}` or the short form `tcp: 25`; the port may also stand beside the kind.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    port: Option<Spanned<i64>>,
}

/// The keys of a `tcp` monitor as typed.
#[derive(Debug, Clone, Default)]
pub struct TcpSpec {
    /// The port to connect to.
    pub port: Option<Spanned<i64>>,
}

impl<'de> Deserialize<'de> for TcpSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TcpSpec, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

/// Takes the mapping, or a bare port. Written by hand because an untagged enum loses line and column.
struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = TcpSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port, or a mapping with the key `port`")
    }

    fn visit_u64<E: serde::de::Error>(self, port: u64) -> Result<TcpSpec, E> {
        self.visit_i64(i64::try_from(port).unwrap_or(i64::MAX))
    }

    fn visit_i64<E: serde::de::Error>(self, port: i64) -> Result<TcpSpec, E> {
        Ok(TcpSpec { port: Some(Spanned::new(port, serde_saphyr::Location::UNKNOWN, serde_saphyr::Location::UNKNOWN)) })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TcpSpec, A::Error> {
        let Keys { port } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        Ok(TcpSpec { port })
    }
}
