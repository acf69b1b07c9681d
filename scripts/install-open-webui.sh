#!/usr/bin/env bash
# Installs Open WebUI without its own models (1.1 GB, about two minutes) below the cache, for `npm run engine -- recipes`.
# Needs Python 3.11 or 3.12; elsewhere it says so and ends with 3. Idempotent.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
version=0.12.4
home=$cache/open-webui

find_python() {
  local candidate
  for candidate in "$HOME"/.pyenv/versions/3.1[12]*/bin/python python3.12 python3.11 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

if ! "$home/python/bin/python" -c "from importlib.metadata import version; assert version('open-webui') == '$version'" 2>/dev/null; then
  base=$(find_python)
  if [ -z "$base" ]; then
    echo 'Open WebUI cannot run here: it needs Python 3.11 or 3.12 with venv' >&2
    exit 3
  fi
  rm -rf "$home"
  mkdir -p "$home"
  "$base" -m venv "$home/python"
  retry "$home/python/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
  UV_CACHE_DIR=$home/download retry "$home/python/bin/uv" pip install --quiet --python "$home/python/bin/python" \
    "open-webui==$version" --overrides "$here/open-webui-overrides.txt"
  rm -rf "$home/download"
fi
echo "Open WebUI $version in $home"
