import { lookup } from 'node:dns'
import type { RequestOptions as HttpsOptions } from 'node:https'
import type { LookupFunction } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import { fetchWith } from './connection/fetch-with.ts'
import { CliError, EXIT } from './exit-codes.ts'

/** One `--connect-to`: requests to a host and port are sent to an address and port. Empty: any host or port. */
interface Redirection {
  host: string
  port: string
  address: string
  toPort: string
}

/** `HOST:PORT:ADDR:PORT` as curl reads it; IPv6 addresses are in brackets. @throws {CliError} */
export function parseConnectTo(text: string): Redirection {
  const part = '(\\[[^\\]]*\\]|[^:]*)'
  const [, host = '', port = '', address = '', toPort = ''] =
    new RegExp(`^${part}:(\\d*):${part}:(\\d*)$`).exec(text) ?? []
  if (address === '' && toPort === '')
    throw new CliError(
      EXIT.usage,
      '--connect-to must be HOST:PORT:ADDR:PORT, like tokens.example.com:443:127.0.0.1:8080.',
    )
  return { host: bare(host), port, address: bare(address), toPort }
}

const bare = (host: string) => host.replace(/^\[|\]$/g, '')

/**
 * `fetch`, connecting elsewhere where a redirection says so: the name in the Host header and in TLS stays, so a certificate
 * is checked as if DNS were set up. Redirects of HTTP are not followed. What is not redirected is sent by `otherwise`.
 */
export function fetchVia(redirections: readonly Redirection[], otherwise: typeof fetch): typeof fetch {
  if (redirections.length === 0) return otherwise
  return (input, init = {}) => {
    const url = new URL(String(input))
    const host = bare(url.hostname)
    const port = url.port || (url.protocol === 'https:' ? '443' : '80')
    const to = redirections.find(
      each => (each.host === '' || each.host === host) && (each.port === '' || each.port === port),
    )
    if (!to) return otherwise(input, init)
    const options = connectedTo(url, { host: to.address || host, port: to.toPort || port })
    return fetchWith(url, options, init)
  }
}

function connectedTo(url: URL, { host, port }: { host: string; port: string }): HttpsOptions {
  const toThere: LookupFunction = (_name, options, done) => lookup(host, options, done)
  // A name, because Node does not look up an address.
  const isAddress = /^[\d.]+$|:/.test(bare(url.hostname))
  return {
    host: isAddress ? 'connect-to.invalid' : url.hostname,
    port,
    path: url.pathname + url.search,
    lookup: toThere,
    agent: false,
    ...(!isAddress && { servername: url.hostname }),
    checkServerIdentity: (_name, certificate) => checkServerIdentity(bare(url.hostname), certificate),
  }
}
