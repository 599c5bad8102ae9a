#!/usr/bin/env bash
# Looks for what every build needs, says what to do where something is missing, and fetches the rest.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() { # missing WHAT HOW
    echo "error: $1 is missing; $2" >&2
    exit 1
}

command -v cargo > /dev/null || missing "Rust" "install it from https://rustup.rs, or set PATH to where cargo is"
command -v g++ > /dev/null || missing "a C++ compiler" "on Debian: apt install g++"

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
have=$(cargo --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "error: Rust $wanted or newer is needed and this is $have; run: rustup update" >&2
    exit 1
fi

exec scripts/libtorch.sh
