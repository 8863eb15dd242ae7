//! What the targets for files share: a folder of their own, and the load as `serve` does it.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use meridian::daemon::prepare;

/// Loads and compiles these files, of which `meridian.yaml` is the first to be read, and prints what was found.
pub fn load(files: &[(&str, &[u8])]) {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("meridian-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        folder
    });
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let found = match prepare(&folder.join("meridian.yaml"), None) {
        Ok(prepared) => prepared.warnings,
        Err(errors) => {
            assert!(errors.has_errors(), "refused without a reason");
            errors
        }
    };
    assert!(found.to_string().len() < 16 << 20, "a small file must not get megabytes of messages");
}
