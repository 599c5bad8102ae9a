#!/usr/bin/env bash
# llama-cpp.sh [PORT]: llama.cpp's own server on models/safeguard-nano, at http://127.0.0.1:PORT (8080). Fetches it if need be.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh .venv-llama-cpp tests/servers/llama-cpp.txt
exec .venv-llama-cpp/bin/python tests/servers/llama_cpp.py "${1:-8080}"
