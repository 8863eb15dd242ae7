#!/usr/bin/env bash
# The only file with `unsafe` is src/server/sys.rs: this runs the tests of the server's sockets, which go through all of it, under valgrind's
# memcheck, and with them those that pass descriptors from process to process. Exit code 0: every test passed and no access was wrong; nothing
# of this needs another toolchain. The encrypted transports are left out: they have no unsafe code of ours, and valgrind does not see what the
# assembly of the cryptography has written.
set -euo pipefail
cd "$(dirname "$0")/.."

# Some twenty times slower than without; a hang is a failure.
LIMIT_S=240

if ! command -v valgrind > /dev/null; then
    echo "skipped: valgrind is not installed"
    [[ -z "${MERIDIAN_TESTS_NEED_TOOLS:-}" ]]
    exit
fi
program=$(cargo test --lib --locked --no-run 2>&1 | tee -a /dev/stderr | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
# Threads that the end of the process finds at work hold memory, so leaks say nothing here; the soak test looks for growth.
timeout "$LIMIT_S" valgrind --quiet --error-exitcode=9 --leak-check=no --trace-children=no \
    "$program" handover server::departure server::bind server::tests::packets server::tests::stop --test-threads=1
