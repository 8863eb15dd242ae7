#!/usr/bin/env bash
# Meridian beside gdnsd, NSD, Knot and PowerDNS: installs them from Debian, writes equal configurations from one table, runs all in turn.
# Needs root for the installation only, two cores (one for the server, one for the sender), and nothing else that is busy.
#
#   benches/compare.sh [DIR]      everything is written below DIR (default: a new directory under /tmp)
#   ROUNDS=5 SECONDS_EACH=3 benches/compare.sh
set -euo pipefail
cd "$(dirname "$0")/.."

DIR=${1:-$(mktemp -d)}
ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-3}
PEERS=(gdnsd nsd knot knot-module-geoip pdns-server pdns-backend-geoip)
PATH="$PATH:/usr/sbin:/sbin"

missing=()
for package in "${PEERS[@]}"; do
    dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
    echo "to install: ${missing[*]}"
    if ((EUID == 0)); then
        # Debian starts a server when it is installed, unless a policy forbids it.
        policy=/usr/sbin/policy-rc.d
        [[ -e "$policy" ]] && policy= || { printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; }
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" || true
        [[ -z "$policy" ]] || rm -f "$policy"
    fi
fi

servers=meridian
for server in gdnsd:gdnsd nsd:nsd knot:knotd; do
    command -v "${server##*:}" > /dev/null && servers="${server%%:*},$servers"
done
with_pdns=$servers
command -v pdns_server > /dev/null && python3 -c 'import mmdb_writer, netaddr' 2> /dev/null && with_pdns="pdns,$servers"

cargo build --release --locked
meridian=${CARGO_TARGET_DIR:-target}/release/meridian
bench() {
    python3 benches/peers/bench.py "$@"
}
run() {
    bench run "$1" --meridian "$meridian" --servers "$2" --workload "$3" --rounds "$ROUNDS" --seconds "$SECONDS_EACH"
}

printf '\n== 5,000 networks to 200 regions, and one record\n'
bench gen "$DIR/small"
run "$DIR/small" "$with_pdns" ecs,static
run "$DIR/small" "${servers//gdnsd,/}" tcp
printf '\n== 200,000 networks, and a million names asked for at random\n'
bench gen "$DIR/large" --nets 200000 --names 1000000
run "$DIR/large" "$servers" ecs,names
