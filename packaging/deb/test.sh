#!/usr/bin/env bash
# Installs the package with dpkg in a fresh Debian made by debootstrap, checks, serves and asks there, removes and purges it, and looks at what is
# left. Needs root, debootstrap, a network for it, dig and cargo-deb; some two minutes. `packaging/deb/test.sh [PROGRAM]` packs that program, without it
# a release build.
set -euo pipefail
cd "$(dirname "$0")/../.."

release=${DEBIAN_RELEASE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")}
mirror=${DEBIAN_MIRROR:-}
address=127.0.0.1
port=5353

say() {
    printf '== %s\n' "$*"
}

fail() {
    echo "failed: $*" >&2
    exit 1
}

say "the package"
rm -rf target/debian
if [[ $# -gt 0 ]]; then packaging/deb/build.sh --program "$1"; else packaging/deb/build.sh; fi
package=$(ls target/debian/meridian_*.deb)
[[ $(dpkg-deb --field "$package" Package) == meridian ]] || fail "it has another name"
dpkg-deb --contents "$package"

root=$(mktemp -d)
server=
cleanup() {
    if [[ -n "$server" ]]; then kill "$server" 2> /dev/null || true; fi
    rm -rf "$root"
}
trap cleanup EXIT

say "a fresh $release"
# shellcheck disable=SC2086 # no mirror is no argument
debootstrap --variant=minbase "$release" "$root" $mirror > "$root.log" 2>&1 || { tail -20 "$root.log"; fail "debootstrap"; }
rm -f "$root.log"
before=$(cd "$root" && find etc usr var -path var/lib/dpkg -prune -o -path var/log -prune -o -print | sort)

say "installed"
cp "$package" "$root/meridian.deb"
chroot "$root" dpkg --install /meridian.deb
chroot "$root" meridian --version
chroot "$root" meridian check --config /etc/meridian/meridian.yaml
for file in usr/share/man/man1/meridian-serve.1.gz usr/share/bash-completion/completions/meridian usr/lib/systemd/system/meridian.socket; do
    [[ -e "$root/$file" ]] || fail "$file is not there"
done

say "served"
sed -i "s/^listen:.*/listen: $address:$port/" "$root/etc/meridian/meridian.yaml"
chroot "$root" meridian serve --config /etc/meridian/meridian.yaml 2> "$root/log" &
server=$!
for _ in {1..200}; do
    if grep -q ready "$root/log"; then break; fi
    kill -0 "$server" 2> /dev/null || { cat "$root/log"; fail "it does not start"; }
    sleep 0.1
done
answer=$(dig "@$address" -p "$port" www.example.com +subnet=10.20.1.0/24 +short +tries=3)
echo "www.example.com for 10.20.1.0/24: $answer"
[[ "$answer" == 192.0.2.20 ]] || fail "another answer"
chroot "$root" meridian ctl ready --config /etc/meridian/meridian.yaml
kill -TERM "$server"
wait "$server" || fail "it does not end well"
server=

say "installed again: what was changed stays"
chroot "$root" dpkg --install /meridian.deb
grep -q "^listen: $address:$port" "$root/etc/meridian/meridian.yaml" || fail "the configuration was written over"

say "removed: the configuration and the state stay"
chroot "$root" dpkg --remove meridian
[[ ! -e "$root/usr/bin/meridian" && -e "$root/etc/meridian/meridian.yaml" && -e "$root/var/lib/meridian" ]] || fail "too much or too little is gone"

say "purged: nothing stays"
chroot "$root" dpkg --purge meridian
rm "$root/meridian.deb" "$root/log"
after=$(cd "$root" && find etc usr var -path var/lib/dpkg -prune -o -path var/log -prune -o -print | sort)
diff <(echo "$before") <(echo "$after") || fail "something is left"
say "all is well"
