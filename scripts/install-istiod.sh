#!/usr/bin/env bash
# Builds istiod from Istio's Go module, and takes Istio's definitions of resources, for test/istiod/; both below the cache (the first
# time 8 minutes of a core). Needs Go 1.26. etcd is from the distribution; kube-apiserver is from scripts/install-cluster-tools.sh,
# Envoy from scripts/install-gateways.sh. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
version=v0.0.0-20260827124520-eed52ebb66ad
istiod=$cache/istiod-$version
install_packages etcd-server
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
  cp "$("$go" list -m -f '{{.Dir}}' istio.io/istio)/manifests/charts/base/files/crd-all.gen.yaml" "$istiod/crds.partial"
  chmod u+w "$istiod/crds.partial"
  mv "$istiod/crds.partial" "$istiod/crds.yaml"
  mv "$istiod/pilot-discovery.partial" "$istiod/pilot-discovery"
  cd /
  rm -rf "$istiod/source"
}

[ -x "$istiod/pilot-discovery" ] && [ -f "$istiod/crds.yaml" ] || (build)
echo "istiod $version in $istiod"
