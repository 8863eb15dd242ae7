#!/usr/bin/env bash
# Fuzzes every target, or those that are named, one after the other: fuzz/run.sh [SECONDS [TARGET...]], 180 seconds each unless said otherwise.
# New inputs go to fuzz/corpus/, findings to fuzz/artifacts/; exit code 1 if there is one.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-180}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(query options framing proxy yaml folder master geo api doh doq takeover)

# Files are written again and again: into memory where there is such a folder.
[[ -w /dev/shm ]] && export TMPDIR=/dev/shm

failed=()
for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus"
    options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -close_fd_mask=1)
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
    echo "== $target, $seconds s"
    cargo fuzz run -s none "$target" "$corpus" "fuzz/seeds/$target" -- "${options[@]}" || failed+=("$target")
done
if ((${#failed[@]})); then
    echo "findings in: ${failed[*]}"
    exit 1
fi
