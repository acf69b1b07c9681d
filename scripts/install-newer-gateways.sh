#!/usr/bin/env bash
# Unpacks nginx 1.26 with njs 0.8 and HAProxy 3.0 from Debian 13, with their libraries, below the cache: this machine's Debian has older
# ones, which cannot enforce the limits of tokens (test/gateway-configs/*-limits.test.ts). Installs nothing. Safe to run again.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
target=$cache/debian13
if [ ! -x "$target/bin/haproxy" ]; then
  command -v apt-get >/dev/null || { echo 'there is no apt-get: run this on Debian or Ubuntu' >&2; exit 3; }
  rm -rf "$target.partial"
  mkdir -p "$target.partial"/{bin,apt/lists/partial,apt/archives/partial}
  cd "$target.partial"
  touch apt/status
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "deb [signed-by=$keyring] http://deb.debian.org/debian trixie main" > apt/sources.list
  cat > apt/apt.conf <<CONF
Dir::Etc::sourcelist "$PWD/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$PWD/apt";
Dir::State::status "$PWD/apt/status";
Dir::Cache "$PWD/apt";
APT::Sandbox::User "";
APT::Install-Recommends "false";
CONF
  export APT_CONFIG=$PWD/apt/apt.conf
  retry apt-get update -qq
  retry apt-get install -y -qq --download-only nginx libnginx-mod-http-js haproxy >/dev/null
  for package in apt/archives/*.deb; do dpkg-deb --extract "$package" .; done
  rm -rf apt
  # With its own loader and libraries, not this machine's.
  loader=$target/$(find usr/lib* -name 'ld-linux*.so.*' -print -quit)
  libraries=$target/$(echo usr/lib/*-linux-gnu)
  for name in nginx haproxy; do
    cat > "bin/$name" <<WRAPPER
#!/bin/sh
exec "$loader" --library-path "$libraries" "$target/usr/sbin/$name" "\$@"
WRAPPER
    chmod +x "bin/$name"
  done
  rm -rf "$target"
  mv "$target.partial" "$target"
fi
"$target/bin/haproxy" -v | sed -n 1p
"$target/bin/nginx" -v
