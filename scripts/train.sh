#!/usr/bin/env bash
# train.sh PYTHON [OPTION]...: a run of training/train.py, a process for each of two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
shift

# Memory is kept and not given back at each step, and comes in large pages: of the time a third went to that. Kernels are made once
# for each size of a matrix.
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_ARENA_MAX=1
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1 ONEDNN_PRIMITIVE_CACHE_CAPACITY=8192 OMP_NUM_THREADS=1
exec "$python" -u -m torch.distributed.run --standalone --nproc-per-node 2 training/train.py "$@"
