//! What one run of a probe found, in words that a log and a person can use.
//! It never judges: a single outcome is not a health state.

use std::fmt;

/// At most this many octets of a foreign error text are kept: enough for a reason, too little to fill a log.
pub const MAX_EVIDENCE_TEXT: usize = 200;

/// A server of the fleet that measures; the local prober is [`NodeId::LOCAL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// This server's own prober.
    pub const LOCAL: NodeId = NodeId(0);
}

/// The result of one run of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Good, bad, or no evidence.
    pub outcome: Outcome,
    /// What was seen.
    pub evidence: Evidence,
    /// How long the run took, in milliseconds.
    pub took_ms: u32,
    /// How many connections, requests or the like the target says it works on.
    pub active: Option<u32>,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The target answered as the monitor demands.
    Success,
    /// It did, but is slow or not well.
    Degraded,
    /// The target did not.
    Failure,
    /// This machine could not ask (no descriptor, no local route); says nothing about the target.
    ProberFault,
}

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The connection was accepted (all that a TCP probe asks).
    Connected,
    /// An HTTP status line.
    Status(u16),
    /// An HTTP status, and what its body lacks.
    Content(u16, Box<str>),
    /// The status was fine but the body had not arrived in time.
    BodyTimeout(u16),
    /// Nothing was heard within the timeout.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection was reset.
    Reset,
    /// The network or the host said that there is no way there.
    Unreachable,
    /// The TLS handshake failed, certificates included.
    Tls(Box<str>),
    /// Anything else, in the words of the layer that complained.
    Other(Box<str>),
}

impl Evidence {
    /// An error text of another layer, cut to [`MAX_EVIDENCE_TEXT`] octets and without control characters: a peer must not write
    /// into our logs.
    pub fn text(text: &str) -> Box<str> {
        let mut kept = String::new();
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if kept.len() + c.len_utf8() > MAX_EVIDENCE_TEXT {
                break;
            }
            kept.push(c);
        }
        kept.into_boxed_str()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Connected => f.write_str("connected"),
            Evidence::Status(status) => write!(f, "HTTP {status}"),
            Evidence::Content(status, why) => write!(f, "HTTP {status}, {why}"),
            Evidence::BodyTimeout(status) => write!(f, "HTTP {status}, but its body timed out"),
            Evidence::Timeout => f.write_str("timed out"),
            Evidence::Refused => f.write_str("connection refused"),
            Evidence::Reset => f.write_str("connection reset"),
            Evidence::Unreachable => f.write_str("unreachable"),
            Evidence::Tls(text) => write!(f, "TLS: {text}"),
            Evidence::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Report {
    /// `HTTP 503 after 12 ms`, `HTTP 200, 41 active after 12 ms`, `prober fault: too many open files after 0 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcome == Outcome::ProberFault {
            f.write_str("prober fault: ")?;
        }
        write!(f, "{}", self.evidence)?;
        self.active.iter().try_for_each(|active| write!(f, ", {active} active"))?;
        write!(f, " after {} ms", self.took_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_sentence_of_a_log() {
        let report = Report { outcome: Outcome::Failure, evidence: Evidence::Status(503), took_ms: 12, active: None };
        assert_eq!(report.to_string(), "HTTP 503 after 12 ms");
        assert_eq!(Report { active: Some(41), ..report }.to_string(), "HTTP 503, 41 active after 12 ms");
        let report =
            Report { outcome: Outcome::ProberFault, evidence: Evidence::Other("too many open files".into()), took_ms: 0, active: None };
        assert_eq!(report.to_string(), "prober fault: too many open files after 0 ms");
    }

    #[test]
    fn foreign_text_is_cut_at_a_character_and_cannot_break_a_line() {
        let text = Evidence::text(&format!("a\nb{}", "é".repeat(MAX_EVIDENCE_TEXT)));
        assert!(text.len() <= MAX_EVIDENCE_TEXT && text.starts_with("a b") && text.ends_with('é'));
    }
}
