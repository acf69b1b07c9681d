#!/usr/bin/env bash
# Downloads Mintmark's public keys as PEM files, for gateways without JWKS support: fetch-keys.sh <Mintmark's URL> <folder> [slots]
# Run it every few minutes (cron, a systemd timer). Each file is named after its key's id; files of keys that are no longer
# published are deleted. With a number of slots the files are key-1.pem to key-N.pem instead, the last one repeated, for
# gateways that must know the names at startup (HAProxy). When Mintmark cannot be reached, or something else than keys comes back,
# nothing changes. A file is replaced in one step. Prints the ids; exits with 10 when they changed.
set -euo pipefail
url=${1:?usage: fetch-keys.sh <URL of the public listener> <folder>}
folder=${2:?usage: fetch-keys.sh <URL of the public listener> <folder>}
mkdir -p "$folder"
before=$(ls "$folder")
new=$(mktemp -d "$folder/.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
kids=$(curl -sS --fail --max-time 10 "$url/.well-known/jwks.json" | grep -o '"kid":"[A-Za-z0-9_-]\{43\}"' | cut -d'"' -f4)
[ -n "$kids" ]
# One PEM block, whole and alone: not a proxy's page, and not a file that was cut off.
is_key() {
  awk 'NR == 1 { if ($0 != "-----BEGIN PUBLIC KEY-----") exit; next }
    ended { ended = 0; exit }
    $0 == "-----END PUBLIC KEY-----" { ended = lines; next }
    /^[A-Za-z0-9+\/]+=*$/ { lines++; next }
    { exit }
    END { exit !ended }' "$1"
}
for kid in $kids; do
  curl -sS --fail --max-time 10 -o "$new/$kid.pem" "$url/.well-known/jwks/$kid.pem"
  is_key "$new/$kid.pem" || { echo "$url/.well-known/jwks/$kid.pem is not a public key in PEM" >&2; exit 1; }
done
chmod 644 "$new"/*.pem
if [ "${3:-}" ]; then
  set -- "$url" "$folder" "$3" "$new"/*.pem
  [ $(($# - 3)) -le "$3" ] || { echo "more keys are published than $3" >&2; exit 1; }
  old=$(cat "$folder"/key-*.pem 2>/dev/null || true)
  files=("${@:4}")
  for ((slot = 1; slot <= $3; slot++)); do
    from=${files[slot - 1]:-${files[-1]}}
    cp -p "$from" "$new/key-$slot"
  done
  for ((slot = 1; slot <= $3; slot++)); do mv -f "$new/key-$slot" "$folder/key-$slot.pem"; done
  echo "$kids"
  [ "$old" = "$(cat "$folder"/key-*.pem)" ] || exit 10
  exit 0
fi
mv -f "$new"/*.pem "$folder"
for file in "$folder"/*.pem; do
  kid=$(basename "$file" .pem)
  grep -qx -e "$kid" <<<"$kids" || rm -f "$file"
done
echo "$kids"
[ "$before" = "$(ls "$folder")" ] || exit 10
