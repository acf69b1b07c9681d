#!/usr/bin/env bash
# Builds istiod from Istio's Go module for test/istiod/, below the cache (the first time 8 to 15 minutes of a core). Needs Go 1.26.
# Envoy is from scripts/install-gateways.sh. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
version=v0.0.0-20260827124520-eed52ebb66ad
istiod=$cache/istiod-$version
go=$(command -v go || true)
[ -n "$go" ] || { echo 'istiod cannot be built: there is no Go. Install Go 1.26.' >&2; exit 3; }

build() {
  rm -rf "$istiod/source"
  mkdir -p "$istiod/source"
  cd "$istiod/source"
  export GOFLAGS=-mod=mod
  "$go" mod init istiod
  # istio.io/istio replaces no module, so its requirements are those of the build.
  retry "$go" get "istio.io/istio/pilot/cmd/pilot-discovery@$version"
  nice -n 19 "$go" build -trimpath -ldflags '-s -w' -o "$istiod/pilot-discovery.partial" istio.io/istio/pilot/cmd/pilot-discovery
  mv "$istiod/pilot-discovery.partial" "$istiod/pilot-discovery"
  cd /
  rm -rf "$istiod/source"
}

[ -x "$istiod/pilot-discovery" ] || (build)
echo "istiod $version in $istiod"
