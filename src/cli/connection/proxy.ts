import { isLoopback, isWithin, parseAddress, parseNetwork } from '../../system/ip-address.ts'
import { CliError, EXIT } from '../exit-codes.ts'

/** A forward proxy that the environment names. */
export interface ForwardProxy {
  /** With the user and password, if any. */
  url: URL
  /** For people, without them: `the proxy http://proxy.corp:3128 (HTTPS_PROXY)` */
  title: string
}

/**
 * The proxy for a URL: HTTPS_PROXY or HTTP_PROXY, by its scheme, unless NO_PROXY has its host; each also in lower case, which
 * comes first. They mean what they mean to curl and Go. This machine is never asked for through a proxy, which would get the
 * token in clear text. undefined: none. @throws {CliError} for a variable that is no URL of such a proxy
 */
export function proxyFor(url: URL, environment: NodeJS.ProcessEnv): ForwardProxy | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const variable = environment[name.toLowerCase()] ? name.toLowerCase() : name
  const value = environment[variable]?.trim()
  if (!value) return undefined
  const host = bareHost(url)
  if (host === 'localhost' || host.endsWith('.localhost') || isLoopback(host)) return undefined
  const exceptions = (environment.no_proxy || environment.NO_PROXY || '').split(/[\s,]+/)
  if (exceptions.some(entry => entry !== '' && isException(entry.toLowerCase(), host, portOf(url))))
    return undefined
  const proxy = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`)
  if (!proxy || !/^https?:$/.test(proxy.protocol))
    throw new CliError(
      EXIT.usage,
      `${variable} must be the URL of an HTTP proxy, like http://proxy.example.com:3128.`,
      [`If ${host} is reachable without it: NO_PROXY=${host}`],
    )
  return { url: proxy, title: `the proxy ${proxy.protocol}//${proxy.host} (${variable})` }
}

/** An entry of NO_PROXY: `*`, a host with its subdomains, `.suffix`, an address, a network; each may have a port. */
function isException(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  const network = parseNetwork(entry.replace(/^\[(.*)\]$/, '$1'))
  const address = parseAddress(host)
  if (network) return address !== undefined && isWithin(address, network)
  const [, name = '', onlyPort] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? []
  if (onlyPort !== undefined && onlyPort !== port) return false
  const suffix = name.replace(/^\*?\./, '').replace(/^\[(.*)\]$/, '$1')
  const isOnlySubdomains = /^\*?\./.test(name)
  return (!isOnlySubdomains && host === suffix) || host.endsWith(`.${suffix}`)
}

const bareHost = ({ hostname }: URL) => hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
const portOf = ({ port, protocol }: URL) => port || (protocol === 'https:' ? '443' : '80')
