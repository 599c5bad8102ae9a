#!/usr/bin/env bash
# Runs each fuzz target (or those that are named) for FUZZ_SECONDS on one core. What it finds lies in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-600}

cargo +nightly fuzz --version > /dev/null 2>&1 || {
    echo "error: fuzzing needs Rust's nightly and cargo-fuzz; run: rustup toolchain install nightly && cargo install cargo-fuzz" >&2
    exit 1
}
if [ $# -eq 0 ]; then
    for file in fuzz/targets/*.rs; do set -- "$@" "$(basename "$file" .rs)"; done
fi

failed=()
for target in "$@"; do
    echo "fuzzing $target for $seconds s" >&2
    mkdir -p "fuzz/corpus/$target"
    # No sanitizer: there is no `unsafe` to watch, and the assertions are the point.
    cargo +nightly fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=1 -rss_limit_mb=2048 -max_len=4096 || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || { echo "error: found something: ${failed[*]}" >&2; exit 1; }
