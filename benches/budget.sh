#!/usr/bin/env bash
# Counts the instructions of one answer of each kind with callgrind and fails where one is above benches/budget.txt by more than 3 %.
# `benches/budget.sh --bless` writes the figures instead. Counts do not depend on how busy the machine is, only on the toolchain: with
# another than the one that budget.txt names, the figures are shown and nothing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

BUDGET=benches/budget.txt
SLACK_PERCENT=3
# Four times around the networks that ask.
COUNT=1024
# One kind takes a few seconds; a hang must not keep CI waiting.
LIMIT=300

if ! command -v valgrind > /dev/null; then
    echo "not counted: valgrind is not here (Debian package: valgrind)"
    [[ -z "${MERIDIAN_TESTS_NEED_TOOLS:-}" ]]
    exit
fi

# Of the dependencies nothing is on the way of an answer, so the profile `budget` does not optimise them.
binary=$(cargo bench --profile budget --bench answer --no-run --locked --message-format json 2> /dev/null \
    | sed -n 's/.*"name":"answer".*"executable":"\([^"]*\)".*/\1/p' | tail -1) || true
if [[ -z "$binary" ]]; then
    cargo bench --profile budget --bench answer --no-run --locked
    exit 1
fi

# Instructions of one answer of a kind.
count() {
    local total
    total=$(timeout "$LIMIT" valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
        --toggle-collect='answer::one*' "$binary" --only "$1" --count "$COUNT" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
    echo $((${total:-0} / COUNT))
}

toolchain="# toolchain: $(rustc --version), $(valgrind --version), $(uname -m)"
holds=1
if ! grep -qxF "$toolchain" "$BUDGET"; then
    holds=0
    echo "shown, not held: the budget was counted with another toolchain than ${toolchain#\# toolchain: }"
fi

failed=0
figures=()
for kind in steered shared several ipv6 subnet6 static wildcard missing cookie rated slipped guarded known; do
    now=$(count "$kind")
    if ((now == 0)); then
        echo "$kind: nothing was counted"
        exit 1
    fi
    figures+=("$kind $now")
    allowed=$(sed -n "s/^$kind //p" "$BUDGET")
    verdict=ok
    if [[ -z "$allowed" ]]; then
        verdict="not held yet, see --bless"
    elif [[ "${1:-}" != --bless ]] && ((now * 100 > allowed * (100 + SLACK_PERCENT))); then
        verdict="over the budget"
        failed=$holds
    fi
    printf '%-10s %6d instructions, budget %6s: %s\n' "$kind" "$now" "${allowed:-none}" "$verdict"
done
if [[ "${1:-}" == --bless ]]; then
    { grep '^#' "$BUDGET" | grep -v '^# toolchain:'; printf '%s\n' "$toolchain" "${figures[@]}"; } > "$BUDGET.new"
    mv "$BUDGET.new" "$BUDGET"
fi
exit "$failed"
