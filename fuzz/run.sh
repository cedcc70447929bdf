#!/usr/bin/env bash
# Builds the fuzz targets once and runs one after the other, from what the tests' cases make (seeds.py) and
# what was found before (corpus). Installs what is needed and the machine lacks, on Debian and its kin.
#
#   fuzz/run.sh [--seconds N] [--keep] [TARGET...]
#
#   --seconds N   how long each target runs; 10 by default, and then always with the same random numbers
#   --keep        put into the corpus what was found and is not covered without it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset MODEL CARGO_TARGET_DIR RUSTFLAGS
. tests/packages.sh

seconds=10 random=(-seed=1) keep=false
while [[ ${1:-} == --* ]]; do
    case $1 in
    --seconds) seconds=$2 random=() && shift 2 ;;
    --keep) keep=true && shift ;;
    *) fail "expected --seconds N or --keep, but found $1" ;;
    esac
done
targets=("$@")
if [ $# = 0 ]; then
    for file in fuzz/fuzz_targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi

command -v cargo >/dev/null || fail "there is no cargo; see https://rustup.rs"
missing=()
command -v c++ >/dev/null || missing+=(g++)
command -v python3 >/dev/null || missing+=(python3)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked --version 0.13.2

build=(--dev --sanitizer none)
cargo fuzz build "${build[@]}"

work=fuzz/target/run
rm -rf "$work"
python3 -B fuzz/seeds.py "$work/seeds"

dictionary() {
    case $1 in
    any | features | instances | oip | oip_binary) echo json ;;
    csv | multipart | query) echo text ;;
    http) echo http ;;
    esac
}

for target in "${targets[@]}"; do
    found=$work/found/$target corpus=fuzz/corpus/$target seeds=$work/seeds/$target
    mkdir -p "$found" "$corpus"
    options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 "${random[@]}")
    words=$(dictionary "$target")
    [ -z "$words" ] || options+=(-dict="fuzz/dictionaries/$words.dict")
    log=$work/$target.log
    # It ends with how to reproduce a crash.
    cargo fuzz run "${build[@]}" "$target" "$found" "$corpus" "$seeds" -- "${options[@]}" 2>"$log" ||
        { tail -n 60 "$log" && fail "$target found a crash; $log has all of it"; }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    printf '%-10s %10s runs, %6s edges\n' "$target" "$runs" "$coverage"
    if $keep; then
        # Into a folder that covers what the seeds do goes only what covers more. What is long costs a
        # repository more than it tells.
        find "$found" -type f -size +512c -delete
        kept=$work/kept/$target
        mkdir -p "$kept" && cp "$seeds"/* "$kept"
        cargo fuzz run "${build[@]}" "$target" "$kept" "$corpus" "$found" -- -set_cover_merge=1 -use_counters=0 2>"$log"
        rm -rf "$corpus" && mkdir "$corpus"
        for file in "$kept"/*; do
            [ -e "$seeds/${file##*/}" ] || cp "$file" "$corpus"
        done
    fi
done
