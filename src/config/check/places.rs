//! Where the server keeps what outlives it, and where its control socket is: what is wrong with such a path is told before anything is served.
//! Whether the server may write there is not asked: who checks a configuration is seldom who serves it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::files;
use crate::config::model::CONTROL_FILE;
use crate::config::spec::Field;
use crate::diag::Diagnostics;

/// Longest path of a Unix socket: 108 octets with the zero at the end (unix(7)).
const MAX_SOCKET_OCTETS: usize = 107;

/// `control:`, the path of the control socket.
pub(super) fn control(field: &Field<'_>, out: &mut Diagnostics) -> Option<PathBuf> {
    let path = files::resolve(field.text("the path of a socket", out)?, &field.node.mark);
    refuse_if_long(&path, field, out);
    if path.is_dir() {
        let hint = format!("name a file in it: `{}`", path.join(CONTROL_FILE).display());
        out.error_hint(field.mark(), format!("`{}` is a folder, and the control socket is a file", path.display()), hint);
    }
    Some(path)
}

/// `state_dir:`, a folder that may not be there yet; the control socket is in it unless it is named.
pub(super) fn state_dir(field: &Field<'_>, has_socket: bool, out: &mut Diagnostics) -> Option<PathBuf> {
    let path = files::resolve(field.text("a folder", out)?, &field.node.mark);
    if has_socket {
        refuse_if_long(&path.join(CONTROL_FILE), field, out);
    }
    if path.exists() && !path.is_dir() {
        out.error_hint(field.mark(), format!("`{}` is no folder", path.display()), "name a folder; it is made if it is not there");
    }
    Some(path)
}

fn refuse_if_long(socket: &Path, field: &Field<'_>, out: &mut Diagnostics) {
    let octets = socket.as_os_str().as_bytes().len();
    if octets > MAX_SOCKET_OCTETS {
        let text = format!("the path of the control socket has {octets} octets, at most {MAX_SOCKET_OCTETS} are allowed (unix(7))");
        out.error_hint(field.mark(), text, "name a shorter one: `control: /run/meridian/control.sock`");
    }
}
