#!/bin/sh
# Generates every secret of the compose installation once, in the volume mounted at /secrets. Prints nothing.
set -eu
cd /secrets
umask 077
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
make() { [ -s "$1" ] || printf '%s' "$2" >"$1"; }

make superuser-password "$(random)"
make owner-password "$(random)"
make app-password "$(random)"
make root-token "$(random)"
make peppers "p1:$(random)"
make encryption-keys "e1:$(random)"
make migrate-database-url "postgres://mintmark_owner:$(cat owner-password)@postgres:5432/mintmark"
make database-url "postgres://mintmark:$(cat app-password)@postgres:5432/mintmark"

# Mintmark runs as 1000 and migrates as 1001, so that the service cannot read the owner's password; Postgres starts as
# root and reads its passwords then.
chown 1000:1000 root-token peppers encryption-keys database-url
chown 1001:1001 migrate-database-url
chmod 0400 ./*
chmod 0711 .
