#!/usr/bin/env bash
# venv.sh VENV REQUIREMENTS: makes a folder with these Python packages. Does nothing where it is up to date.
# Works without Debian's python3-venv: the venv is made without pip and filled by the system's pip.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
requirements=$2
stamp=$venv/requirements.txt

if [ -x "$venv/bin/python" ] && cmp -s "$requirements" "$stamp"; then
    exit 0
fi
python3 -m pip --version > /dev/null 2>&1 ||
    { echo "error: Python's pip is missing; on Debian: apt install python3-pip" >&2; exit 1; }

echo "making $venv for the tests (once)" >&2
rm -rf "$venv"
pip_install() {
    python3 -m pip "$@" --quiet --disable-pip-version-check --no-input --only-binary=:all: --requirement "$requirements"
}
if python3 -m venv --without-pip "$venv" 2> /dev/null && pip_install --python "$venv/bin/python" install 2> /dev/null; then
    :
else
    # An older pip, or a Python without venv: a folder of packages, and a python that looks there.
    rm -rf "$venv"
    mkdir -p "$venv/bin"
    pip_install install --target "$venv/packages" ||
        { rm -rf "$venv"; echo "error: cannot install $requirements from the Python package index; check the network and try again" >&2; exit 1; }
    printf '#!/bin/sh\nPYTHONPATH=%s exec %s "$@"\n' "'$PWD/$venv/packages'" "'$(command -v python3)'" > "$venv/bin/python"
    chmod +x "$venv/bin/python"
fi
cp "$requirements" "$stamp"
