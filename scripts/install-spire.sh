#!/usr/bin/env bash
# Builds SPIRE's server and agent from their Go module for test/spire/, below the cache (the first time 15 minutes of a core). Needs Go
# 1.26 and a C compiler. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
version=v1.13.3
spire=$cache/spire-$version
go=$(command -v go || true)
[ -n "$go" ] || { echo 'SPIRE cannot be built: there is no Go. Install Go 1.26.' >&2; exit 3; }

build() {
  rm -rf "$spire/source" "$spire/partial"
  mkdir -p "$spire/source" "$spire/partial"
  cd "$spire/source"
  # The server's SQLite is C.
  export GOFLAGS=-mod=mod GOTOOLCHAIN=local CGO_ENABLED=1
  "$go" mod init spire
  retry "$go" get -tool "github.com/spiffe/spire/cmd/spire-server@$version" "github.com/spiffe/spire/cmd/spire-agent@$version"
  nice -n 19 "$go" build -trimpath -ldflags '-s -w' -o "$spire/partial/" github.com/spiffe/spire/cmd/spire-server \
    github.com/spiffe/spire/cmd/spire-agent
  mv "$spire"/partial/* "$spire/"
  cd /
  rm -rf "$spire/source" "$spire/partial"
}

[ -x "$spire/spire-server" ] && [ -x "$spire/spire-agent" ] || (build)
echo "SPIRE $version in $spire"
