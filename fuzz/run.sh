#!/usr/bin/env bash
# Builds the fuzz targets and runs them one after the other. A target starts from two sets of inputs: the seeds that
# seeds.py writes from the cases of the tests, and the inputs that earlier runs found (corpus/<target>.tar.gz).
# Installs missing packages on Debian and its derivatives.
#
#   fuzz/run.sh [--seconds N] [--keep] [TARGET...]
#
#   --seconds N   run each target for N seconds. Without this option, each target runs for 10 seconds, and with the
#                 same random numbers in every run
#   --keep        add the inputs that cover new code to the corpus
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset MODEL CARGO_TARGET_DIR RUSTFLAGS
. tests/packages.sh

seconds=10 random=(-seed=1) keep=false
while [[ ${1:-} == --* ]]; do
    case $1 in
    --seconds) seconds=$2 random=() && shift 2 ;;
    --keep) keep=true && shift ;;
    *) fail "expected --seconds N or --keep, found $1" ;;
    esac
done
targets=("$@")
if [ $# = 0 ]; then
    for file in fuzz/fuzz_targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi

command -v cargo >/dev/null || fail "cargo is missing; see https://rustup.rs"
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

# pack FOLDER: writes an archive of the files in FOLDER to standard output. The same files always result in the same
# archive, because names are sorted, and times and owners are omitted.
pack() {
    find "$1" -type f -printf '%f\n' | LC_ALL=C sort |
        tar --create --directory "$1" --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 --format=ustar \
            --files-from=- | gzip -9n
}

for target in "${targets[@]}"; do
    archive=fuzz/corpus/$target.tar.gz
    found=$work/found/$target corpus=$work/corpus/$target seeds=$work/seeds/$target
    mkdir -p "$found" "$corpus"
    [ ! -e "$archive" ] || tar --extract --gzip --file "$archive" --directory "$corpus"
    options=(-max_total_time="$seconds" -timeout=120 -rss_limit_mb=2048 -print_final_stats=1 "${random[@]}")
    words=$(dictionary "$target")
    [ -z "$words" ] || options+=(-dict="fuzz/dictionaries/$words.dict")
    log=$work/$target.log
    # The log ends with the command that reproduces a crash.
    cargo fuzz run "${build[@]}" "$target" "$found" "$corpus" "$seeds" -- "${options[@]}" 2>"$log" ||
        { tail -n 60 "$log" && fail "$target crashed; the whole log is $log"; }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    printf '%-10s %10s runs, %6s edges\n' "$target" "$runs" "$coverage"
    if $keep; then
        # The merge adds an input to the copy of the seeds only if the input covers new code. Inputs above 512 bytes
        # are omitted, because they would make the repository too large.
        find "$found" -type f -size +512c -delete
        kept=$work/kept/$target
        mkdir -p "$kept" && cp "$seeds"/* "$kept"
        cargo fuzz run "${build[@]}" "$target" "$kept" "$corpus" "$found" -- -set_cover_merge=1 -use_counters=0 2>"$log"
        for file in "$seeds"/*; do
            rm -f "$kept/${file##*/}"
        done
        mkdir -p fuzz/corpus && pack "$kept" >"$archive"
    fi
done
