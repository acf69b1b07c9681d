#!/usr/bin/env bash
# Other people's programs that judge ours, beside what npm brings: PyJWT and Authlib in a Python of their own, and
# PgBouncer where this user may install packages. Safe to run again.
set -euo pipefail
cache=${MINTMARK_CACHE:-$HOME/.cache/mintmark}
if [ ! -x "$cache/python/bin/python" ] || ! "$cache/python/bin/python" -c 'import jwt, authlib, cryptography' 2>/dev/null; then
  mkdir -p "$cache"
  python3 -m venv "$cache/python"
  "$cache/python/bin/pip" install --quiet --disable-pip-version-check 'pyjwt[crypto]==2.15.1' 'authlib==1.9.9'
fi
if ! command -v pgbouncer >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends pgbouncer >/dev/null
  else
    echo 'pgbouncer is not installed: the suites that go through it are skipped' >&2
  fi
fi
echo "judges: PyJWT and Authlib in $cache/python, $(command -v pgbouncer || echo 'no pgbouncer')"
