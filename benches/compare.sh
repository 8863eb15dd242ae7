#!/usr/bin/env bash
# Meridian beside gdnsd, Knot, NSD, PowerDNS and hickory-server: installs them from Debian, builds what is built, writes equal
# configurations from one table, runs all in turn, and prints a table for each kind of question. benches/README.md says how to read them.
# Needs root for the installation only, two cores (one for the server, one for the sender), and nothing else that is busy.
#
#   benches/compare.sh [DIR]      everything is written below DIR (default: a new directory under /tmp), about 1 GiB
#
#   ROUNDS=5 SECONDS_EACH=3       how often and how long
#   MERIDIAN=PATH                 a program that is built already
#   HICKORY=no                    without hickory-server, which takes minutes to build
#   PARTS="small guarded zones names networks disturb"     some of the comparisons only
set -euo pipefail
cd "$(dirname "$0")/.."

DIR=${1:-$(mktemp -d)}
ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-3}
HICKORY=${HICKORY:-yes}
PARTS=${PARTS:-small guarded zones names networks disturb}
PACKAGES=(gdnsd nsd knot knot-module-geoip pdns-server pdns-backend-geoip)
target=${CARGO_TARGET_DIR:-target}

# A server that cannot be installed is left out of the tables by `peers`, with a word.
install_peers() {
    local package missing=()
    for package in "${PACKAGES[@]}"; do
        dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then
        return
    fi
    if ((EUID != 0)); then
        echo "not installed: ${missing[*]} (only root can)"
        return
    fi
    # Debian starts a server when it is installed, unless a policy forbids it: port 53 of this machine is none of our business.
    local policy=/usr/sbin/policy-rc.d
    if [[ -e "$policy" ]]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod +x "$policy"
    fi
    apt-get update -qq || echo "the package lists could not be fetched"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" || echo "not all of them could be installed"
    if [[ -n "$policy" ]]; then
        rm -f "$policy"
    fi
}

build() {
    if [[ -z "${MERIDIAN:-}" ]]; then
        cargo build --release --locked
        MERIDIAN=$target/release/meridian
    fi
    local features=()
    if [[ "$HICKORY" == yes ]]; then
        features=(--features hickory)
    fi
    cargo build --release --locked --manifest-path benches/peers/Cargo.toml --target-dir "$target/peers" "${features[@]}"
}

peers() {
    printf '\n$ peers %s\n' "$*"
    "$target/peers/release/peers" "$@"
}

run() {
    local dir=$1
    shift
    peers run "$dir" --meridian "$MERIDIAN" --rounds "$ROUNDS" --seconds "$SECONDS_EACH" "$@"
}

part() {
    printf '\n== %s\n' "$1"
}

small() {
    part "5,000 networks in 200 regions, and one record; UDP and TCP"
    peers generate "$DIR/small"
    run "$DIR/small" --workload ecs,static,tcp
    run "$DIR/small" --workload ecs,static --ports 192
}

guarded() {
    part "the same with everything on that keeps abusers away; questions with cookies"
    peers generate "$DIR/guarded"
    run "$DIR/guarded" --servers gdnsd,meridian,guarded --workload ecs,static,cookies,tcp
}

zones() {
    part "10,000 zones, asked at random"
    peers generate "$DIR/zones" --zones 10000
    run "$DIR/zones" --workload zones
}

names() {
    part "a million names in one zone, asked at random"
    peers generate "$DIR/names" --names 1000000
    run "$DIR/names" --workload names
}

networks() {
    part "a million networks in 200 regions"
    peers generate "$DIR/networks" --networks 1000000
    run "$DIR/networks" --workload ecs
}

disturb() {
    part "200,000 networks: answers while something else goes on"
    peers generate "$DIR/disturb" --networks 200000
    peers disturb "$DIR/disturb" --meridian "$MERIDIAN" --rounds "$ROUNDS" --seconds "$SECONDS_EACH"
}

for name in $PARTS; do
    case $name in
        small | guarded | zones | names | networks | disturb) ;;
        *)
            echo "PARTS: no part is named \`$name\`" >&2
            exit 2
            ;;
    esac
done
install_peers
build
for name in $PARTS; do
    "$name"
done
printf '\nwritten below %s\n' "$DIR"
