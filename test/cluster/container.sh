#!/usr/bin/env bash
# container.sh SPEC: becomes the process of a container, in the network namespace that it is called in and in a mount namespace of its
# own: a root that has /usr of this machine, the image's /app, and the volumes; the user, no capability, no new privileges. SPEC is a
# file of shell variables from container.ts: root, user, group, groups, readonly, mounts (lines "from to ro|rw"), and an array
# `command` that begins with the environment.
set -euo pipefail
. "$1"
mount --make-rprivate /
mkdir -p "$root"
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir usr proc dev etc
mount --bind /usr usr
mount -o remount,bind,ro usr
for name in bin lib lib64 sbin; do [ ! -e "/$name" ] || ln -s "usr/$name" "$name"; done
mount -t proc proc proc
mount --rbind /dev dev
printf 'hosts: files\n' >etc/nsswitch.conf
while read -r from to mode; do
  [ -n "$from" ] || continue
  if [ -d "$from" ]; then mkdir -p ".$to"; else mkdir -p ".$(dirname "$to")"; touch ".$to"; fi
  mount --bind "$from" ".$to"
  [ "$mode" = rw ] || mount -o remount,bind,ro ".$to"
done <<<"$mounts"
[ "$readonly" != true ] || mount -o remount,ro "$root"
exec chroot "$root" /usr/bin/setpriv --reuid="$user" --regid="$group" --groups="$groups" --bounding-set=-all --inh-caps=-all \
  --no-new-privs env -i -C /app "${command[@]}"
