#!/usr/bin/env bash
# Makes the Debian package, in target/debian/. Needs cargo-deb (`cargo install cargo-deb`). With `--program FILE` it packs that program,
# which is quicker for a test than a release build.
set -euo pipefail
cd "$(dirname "$0")/../.."

case "${1:-}" in
    "")
        cargo build --release --locked
        program=${CARGO_TARGET_DIR:-target}/release/meridian
        ;;
    --program) program=$2 ;;
    *)
        echo "usage: $0 [--program FILE]" >&2
        exit 2
        ;;
esac
# Where Cargo.toml looks for it, wherever cargo builds.
made=target/deb
rm -rf "$made"
mkdir -p "$made"
strip -o "$made/meridian" "$program"
chmod 755 "$made/meridian"
"$made/meridian" man "$made/man1" > /dev/null
"$made/meridian" completions bash > "$made/meridian.bash"
"$made/meridian" completions zsh > "$made/_meridian"
"$made/meridian" completions fish > "$made/meridian.fish"
# The unit makes a folder for the state, so it is used.
sed 's/^# state_dir: /state_dir: /' src/cli/init/meridian.yaml > "$made/meridian.yaml"
cargo deb --no-build --no-strip --locked --output target/debian/
