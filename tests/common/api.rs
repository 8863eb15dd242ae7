//! The admin API as a client sees it: plain HTTP over the control socket or a port.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::folder::Folder;

/// A reply of the API.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One request on a connection of its own.
pub(crate) fn request(mut stream: impl Read + Write, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(text.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// The same over the control socket.
pub(crate) fn by_socket(folder: &Folder, method: &str, path: &str, body: &Value) -> Reply {
    let stream = UnixStream::connect(folder.join("state/control.sock")).unwrap();
    let (headers, body) = if body.is_null() { ("", String::new()) } else { ("Content-Type: application/json\r\n", body.to_string()) };
    request(stream, method, path, headers, &body)
}

/// What a path tells.
pub(crate) fn get(folder: &Folder, path: &str) -> Reply {
    by_socket(folder, "GET", path, &Value::Null)
}
