#!/usr/bin/env bash
# Puts libtorch and cmake under .deps/, from PyPI wheels, without root. Does nothing where they are there already.
# A LIBTORCH of the user's own, or LIBTORCH_USE_PYTORCH=1, wins; so does a cmake on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
deps=$PWD/.deps
torch_version=2.11.0 # the one version that tch 0.24 accepts
mkdir -p "$deps"
work=
trap 'if [ -n "$work" ]; then rm -rf "$work"; fi' EXIT # a failed fetch leaves nothing behind

wheel() { # wheel NAME==VERSION DIR: downloads one wheel, nothing it depends on
    python3 -m pip --version > /dev/null 2>&1 ||
        { echo "error: Python's pip is missing; on Debian: apt install python3-pip" >&2; exit 1; }
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$2" "$1" ||
        { echo "error: cannot download $1 from the Python package index; check the network, or set LIBTORCH to a libtorch $torch_version of your own" >&2; exit 1; }
}

unpack() { # unpack WHEEL DIR PREFIX [PATTERN...]: the members under PREFIX that match, with PREFIX cut off
    python3 - "$@" <<'PY'
import fnmatch, os, shutil, sys, zipfile
wheel, out, prefix, *patterns = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for info in archive.infolist():
        if info.is_dir() or not info.filename.startswith(prefix):
            continue
        name = info.filename[len(prefix):]
        if patterns and not any(fnmatch.fnmatch(name, p) for p in patterns):
            continue
        path = os.path.join(out, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with archive.open(info) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        os.chmod(path, (info.external_attr >> 16) & 0o777 or 0o644)
PY
}

fetch_libtorch() {
    work=$(mktemp -d "$deps/fetch.XXXXXX")
    echo "fetching libtorch $torch_version (530 MB to download, 500 MB to keep; once)" >&2
    wheel "torch==$torch_version" "$work"
    unpack "$work"/torch-*.whl "$work/libtorch" torch/ 'include/*' lib/libtorch_cpu.so lib/libc10.so 'lib/libgomp*' 'lib/libarm_compute*' 'lib/libopenblas*' 'lib/libgfortran*'
    # The x86-64 wheel is built for CUDA: its CPU half wants these two to load, a few MB each.
    if [ "$(uname -m)" = x86_64 ]; then
        wheel nvidia-cuda-cupti==13.0.85 "$work"
        wheel nvidia-cuda-runtime==13.0.96 "$work"
        for name in cupti runtime; do
            unpack "$work"/nvidia_cuda_$name-*.whl "$work/nvidia" ''
        done
        find "$work/nvidia" \( -name 'libcupti.so.13' -o -name 'libcudart.so.13' \) -exec cp {} "$work/libtorch/lib/" \;
    fi
    # Linkers ask for libtorch.so, which in PyTorch is an empty library over the other two.
    (cd "$work/libtorch/lib" && gcc -shared -o libtorch.so -Wl,--no-as-needed -L. -l:libtorch_cpu.so -l:libc10.so -Wl,--allow-shlib-undefined -Wl,-rpath,'$ORIGIN')
    echo "$torch_version" > "$work/libtorch/build-version"
    rm -rf "$deps/libtorch"
    mv "$work/libtorch" "$deps/libtorch"
    rm -rf "$work"
}

fetch_cmake() {
    work=$(mktemp -d "$deps/fetch.XXXXXX")
    echo "fetching cmake (once)" >&2
    wheel cmake==4.1.2 "$work"
    unpack "$work"/cmake-*.whl "$work/cmake" cmake/data/
    rm -rf "$deps/cmake"
    mv "$work/cmake" "$deps/cmake"
    rm -rf "$work"
}

if [ -z "${LIBTORCH:-}" ] && [ -z "${LIBTORCH_USE_PYTORCH:-}" ] && [ ! -e "$deps/libtorch/build-version" ]; then
    fetch_libtorch
fi
if [ ! -x "$deps/cmake/bin/cmake" ]; then
    if own=$(command -v cmake); then
        mkdir -p "$deps/cmake/bin"
        ln -sf "$own" "$deps/cmake/bin/cmake"
    else
        fetch_cmake
    fi
fi
