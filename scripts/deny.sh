#!/usr/bin/env bash
# Runs cargo-deny; installs it under .deps where the machine has none.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:$PWD/.deps/bin

if ! command -v cargo-deny > /dev/null; then
    echo "installing cargo-deny into .deps (a few minutes, once)" >&2
    cargo install --quiet --locked --root .deps cargo-deny ||
        { echo "error: cannot install cargo-deny; check the network, or install it yourself and put it on the PATH" >&2; exit 1; }
fi
cargo deny --locked --log-level error check bans licenses sources
# The advisory database is a git repository of its own. Where it cannot be reached, that is said and not hidden.
if ! cargo deny --locked fetch db 2> /dev/null; then
    echo "warning: the advisory database cannot be reached; the dependencies were not checked against it" >&2
    exit 0
fi
cargo deny --locked --log-level error check --disable-fetch advisories
