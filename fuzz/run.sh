#!/usr/bin/env bash
# Fuzzes every target, or those that are named, one after the other: fuzz/run.sh [SECONDS [TARGET...]], 180 seconds of CPU time each unless said
# otherwise, however busy the machine is; a target that has not had them after ten times as long is given up. Ends with executions and CPU seconds.
# New inputs go to fuzz/corpus/, findings to fuzz/artifacts/; exit code 1 if there is one, or if a target was given up.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-180}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(query options framing proxy yaml folder master geo api doh doq takeover)

# Files are written again and again: into memory where there is such a folder.
[[ -w /dev/shm ]] && export TMPDIR=/dev/shm
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Sets `cpu` to the seconds of CPU time of all that this script has run.
measure() {
    times >"$scratch/times"
    cpu=$(awk -F '[ms ]+' 'NR == 2 { printf "%d", 60 * ($1 + $3) + $2 + $4 }' "$scratch/times")
}

failed=0
for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus"
    options=(-timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -close_fd_mask=1)
    case $target in
        query | doq) options+=(-max_len=1300) ;;
        options) options+=(-max_len=400) ;;
        framing | proxy | api | doh | takeover) options+=(-max_len=4096) ;;
        geo) options+=(-max_len=4096 -rss_limit_mb=4096) ;;
        *) options+=(-max_len=8192) ;;
    esac
    case $target in
        yaml | folder) options+=(-dict=fuzz/yaml.dict) ;;
        master) options+=(-dict=fuzz/master.dict) ;;
    esac
    cargo fuzz build -s none "$target"
    echo "== $target, $seconds s of CPU time"
    measure
    before=$cpu began=$SECONDS left=$seconds verdict="no finding"
    : >"$scratch/log"
    while ((left > 0)) && [[ $verdict == "no finding" ]]; do
        # libFuzzer goes by the wall, and in steps of its own.
        cargo fuzz run -s none "$target" "$corpus" "fuzz/seeds/$target" -- "${options[@]}" -max_total_time="$((left < 5 ? 5 : left))" 2>&1 |
            tee -a "$scratch/log" || verdict="A FINDING"
        measure
        left=$((seconds - cpu + before))
        if ((left > 0 && SECONDS - began > 10 * seconds)); then verdict="GIVEN UP"; fi
    done
    [[ $verdict == "no finding" ]] || failed=1
    executions=$(awk '/^stat::number_of_executed_units:/ { sum += $2 } END { print sum + 0 }' "$scratch/log")
    printf '%-10s %12d executions %6d s  %s\n' "$target" "$executions" "$((cpu - before))" "$verdict" >>"$scratch/table"
done
cat "$scratch/table"
exit "$failed"
