#!/usr/bin/env bash
# Builds an OpenTelemetry Collector from its Go modules, below the cache (the first time some minutes of a core): the parts of
# scripts/otel-collector.yaml. Needs Go 1.26. Idempotent.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
version=v0.165.0
manifest=$PWD/scripts/otel-collector.yaml
collector=$cache/otelcol-$version
go=$(command -v go || true)
[ -n "$go" ] || { echo 'the Collector cannot be built: there is no Go. Install Go 1.26.' >&2; exit 3; }

build() {
  rm -rf "$collector/source"
  mkdir -p "$collector/source"
  cp "$manifest" "$collector/source/manifest.yaml"
  cd "$collector/source"
  GOBIN=$collector/source retry "$go" install "go.opentelemetry.io/collector/cmd/builder@$version"
  CGO_ENABLED=0 nice -n 15 ./builder --config manifest.yaml --ldflags='-s -w'
  mv build/otelcol "$collector/otelcol"
  cp "$manifest" "$collector/manifest.yaml"
  cd /
  rm -rf "$collector/source"
}

[ -x "$collector/otelcol" ] && cmp -s "$manifest" "$collector/manifest.yaml" || (build)
echo "Collector $version in $collector"
