#!/usr/bin/env bash
# Records again what Envoy Gateway and Istio make of deploy/envoy-gateway and deploy/istio, for test/gateway-configs/: builds egctl and a
# test of Istio's pilot from their Go modules, below the cache. Needs Go 1.26; the first time some ten minutes of a core for each.
#   bash scripts/record-gateway-configs.sh [envoy-gateway|istio]    both without an argument
set -euo pipefail
. "$(dirname "$0")/packages.sh"
repository=$(cd "$(dirname "$0")/.." && pwd)
configs=$repository/test/gateway-configs
envoy_gateway=v1.9.0
istio=v0.0.0-20260827124520-eed52ebb66ad

record_envoy_gateway() {
  local egctl=$cache/egctl-$envoy_gateway module
  if [ ! -x "$egctl" ]; then
    # From a copy, because `go install` takes no module whose go.mod replaces others.
    module=$(cd "$cache" && go mod download -json "github.com/envoyproxy/gateway@$envoy_gateway" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    rm -rf "$egctl.source"
    cp -r "$module" "$egctl.source"
    chmod -R u+w "$egctl.source"
    (cd "$egctl.source" && nice -n 19 go build -o "$egctl" ./cmd/egctl)
    rm -rf "$egctl.source"
  fi
  node "$repository/scripts/require-node.js" "$configs/envoy-gateway/record.ts" "$egctl"
}

record_istio() {
  local folder=$cache/pilot-$istio
  mkdir -p "$folder"
  cp "$configs"/pilot/* "$folder/"
  (
    cd "$folder"
    if [ ! -f go.mod ]; then
      go mod init record
      go get "istio.io/istio@$istio"
      go mod tidy
    fi
    DEPLOY=$repository/deploy/istio nice -n 19 go test -count=1 -run TestRecord .
  )
  cp "$folder"/record*.json "$configs/pilot/"
}

case ${1:-both} in
  envoy-gateway) record_envoy_gateway ;;
  istio) record_istio ;;
  both) record_envoy_gateway; record_istio ;;
  *) echo "unknown gateway: $1" >&2; exit 2 ;;
esac
"$repository/node_modules/.bin/biome" format --write "$configs"/*/record*.json
