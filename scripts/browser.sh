#!/usr/bin/env bash
# Looks for Chromium, which the tests of the workbench's page drive. On Debian, as root, installs it; else those tests are
# left out, and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
without=.deps/no-chromium

for name in "${PORTCULLIS_CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name" > /dev/null; then
        rm -f "$without"
        exit 0
    fi
done

if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "note: there is no Chromium, so the tests of the workbench's page are left out; on Debian: apt install chromium" >&2
    mkdir -p .deps
    touch "$without"
    exit 0
fi

echo "installing Chromium for the tests of the workbench's page (once)" >&2
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install --yes --quiet --no-install-recommends chromium fonts-dejavu-core > /dev/null; }
install 2> /dev/null || { apt-get update --quiet > /dev/null && install; } ||
    { echo "error: cannot install Chromium; check the network, or set PORTCULLIS_CHROMIUM to one" >&2; exit 1; }
rm -f "$without"
