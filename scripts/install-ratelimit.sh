#!/usr/bin/env bash
# Builds envoyproxy/ratelimit from its Go module for test/limits/, below the cache (the first time some minutes of a core): the service
# as it is, and one with the clock of test/limits/clock.go. Needs Go 1.26. Redis is Debian's. Idempotent.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
version=v1.4.1-0.20260122083618-3fb702589d36
ratelimit=$cache/ratelimit-$version
clock=$PWD/test/limits/clock.go
go=$(command -v go || true)
[ -n "$go" ] || { echo 'ratelimit cannot be built: there is no Go. Install Go 1.26.' >&2; exit 3; }

build() {
  rm -rf "$ratelimit/source"
  mkdir -p "$ratelimit"
  # Outside of a module, which would keep its own requirements.
  cd "$ratelimit"
  retry "$go" mod download "github.com/envoyproxy/ratelimit@$version"
  # A copy, because Go builds the module cache as it is.
  cp -r "$("$go" env GOMODCACHE)/github.com/envoyproxy/ratelimit@$version" source
  chmod -R u+w source
  cd source
  compile ratelimit
  cp "$clock" src/utils/clock.go
  sed -i 's/return time.Now().Unix()/return shownBy(time.Now().Unix())/' src/utils/time.go
  grep -q shownBy src/utils/time.go
  compile ratelimit-clock
  cp "$clock" "$ratelimit/clock.go"
  cd /
  rm -rf "$ratelimit/source"
}

compile() {
  nice -n 15 "$go" build -trimpath -ldflags '-s -w' -o "$ratelimit/$1.partial" ./src/service_cmd
  mv "$ratelimit/$1.partial" "$ratelimit/$1"
}

[ -x "$ratelimit/ratelimit" ] && cmp -s "$clock" "$ratelimit/clock.go" || (build)
install_packages redis-server
echo "ratelimit $version in $ratelimit"
