#!/usr/bin/env bash
# Brings Mintmark's public keys as PEM files, for gateways that read no JWKS: fetch-keys.sh <Mintmark's URL> <folder>
# Run it every few minutes (cron, a systemd timer). Each file is called after its key's id; those of keys that are not
# published any more go. When Mintmark cannot be reached nothing changes. Prints the ids, and ends with 10 when they changed.
set -euo pipefail
url=${1:?usage: fetch-keys.sh <URL of the public listener> <folder>}
folder=${2:?usage: fetch-keys.sh <URL of the public listener> <folder>}
mkdir -p "$folder"
before=$(ls "$folder")
new=$(mktemp -d "$folder/.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
kids=$(curl -sS --fail --max-time 10 "$url/.well-known/jwks.json" | grep -o '"kid":"[A-Za-z0-9_-]\{43\}"' | cut -d'"' -f4)
[ -n "$kids" ]
for kid in $kids; do curl -sS --fail --max-time 10 -o "$new/$kid.pem" "$url/.well-known/jwks/$kid.pem"; done
chmod 644 "$new"/*.pem
mv -f "$new"/*.pem "$folder"
for file in "$folder"/*.pem; do
  kid=$(basename "$file" .pem)
  grep -qx -e "$kid" <<<"$kids" || rm -f "$file"
done
echo "$kids"
[ "$before" = "$(ls "$folder")" ] || exit 10
