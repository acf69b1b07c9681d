/**
 * Preloaded into a replica (`--import`): runs it again, under the same pid, in a mount namespace of its own, in which the
 * file RESOLV_CONF is /etc/resolv.conf.
 */
const { RESOLV_CONF = '', NODE_OPTIONS: _, ...environment } = process.env
const script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
process.execve?.(
  '/bin/sh',
  ['sh', '-c', 'exec unshare --mount "$@"', 'sh', 'sh', '-c', script, RESOLV_CONF, ...process.argv],
  environment,
)

export {}
