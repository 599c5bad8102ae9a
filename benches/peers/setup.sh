#!/usr/bin/env bash
# Makes the venv of the peers, with llama.cpp built for this machine. Does nothing where it is up to date.
# PEERS_DIR: where it goes (default: target/peers). Needs a C++ compiler, and 7 GB while it works.
# Minutes on a fast machine, half an hour on two cores: torch's wheel is the CUDA one (PyPI has no other for x86-64).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
requirements=$here/requirements.txt
target=${CARGO_TARGET_DIR:-$root/target}
peers=${PEERS_DIR:-$target/peers}
venv=$peers/venv
stamp=$venv/requirements.txt

fail() {
    echo "error: $1" >&2
    exit 1
}

if [ -x "$venv/bin/python" ] && cmp -s "$requirements" "$stamp"; then
    exit 0
fi
command -v g++ > /dev/null || fail "a C++ compiler is missing; on Debian: apt install g++"
python3 -m pip --version > /dev/null 2>&1 || fail "Python's pip is missing; on Debian: apt install python3-pip"
mkdir -p "$peers"
free=$(df -Pk "$peers" | awk 'NR == 2 { print int($4 / 1000000) }')
[ "$free" -ge 8 ] || fail "$peers has $free GB free and the packages need 8; set PEERS_DIR to a folder with more"

echo "making $venv: 3 GB to download, llama.cpp to compile (once)" >&2
rm -rf "$venv"
python3 -m venv --without-pip "$venv"
# What a user on this machine would type; its image library is left out.
export CMAKE_ARGS="${CMAKE_ARGS:--DGGML_NATIVE=ON -DCMAKE_BUILD_TYPE=Release -DLLAVA_BUILD=OFF}"
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(getconf _NPROCESSORS_ONLN)}"
export CXXFLAGS="${CXXFLAGS:-} -include \"$here/gcc_amx.h\"" # else a crash on processors with AMX, with older GCCs
export PATH="$PATH:$root/.deps/cmake/bin"
unset SOURCE_DATE_EPOCH # where it is set, ggml builds for any machine instead of for this one
nice -n 19 python3 -m pip --python "$venv/bin/python" install --disable-pip-version-check --no-input --no-cache-dir \
    --no-binary llama-cpp-python --requirement "$requirements" ||
    fail "cannot install $requirements; the reason stands above"
cp "$requirements" "$stamp"
