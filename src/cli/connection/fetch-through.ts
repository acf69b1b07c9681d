import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { fetchWith } from './fetch-with.ts'
import { type ForwardProxy, proxyFor } from './proxy.ts'

/** A request through a proxy failed. `cause` is the error of the system, or of the proxy. */
export class ThroughProxy extends Error {
  readonly proxy: ForwardProxy

  constructor(proxy: ForwardProxy, cause: unknown) {
    super(proxy.title, { cause })
    this.proxy = proxy
  }
}

/**
 * `fetch` through the proxies that the environment names (proxy.ts). Node's own `fetch` knows none, unless the process was
 * started with NODE_USE_ENV_PROXY, and then asks for this machine through them too.
 */
export function fetchThrough(environment: NodeJS.ProcessEnv): typeof fetch {
  const agents = new Map<string, HttpAgent>()
  return async (input, init = {}) => {
    const url = new URL(String(input))
    const proxy = proxyFor(url, environment)
    if (!proxy) return fetch(input, init)
    const isTls = url.protocol === 'https:'
    const name = `${url.protocol} ${proxy.url.href}`
    const proxyEnv = { [isTls ? 'https_proxy' : 'http_proxy']: proxy.url.href }
    const options = { keepAlive: true, proxyEnv }
    const agent = agents.get(name) ?? (isTls ? new HttpsAgent(options) : new HttpAgent(options))
    agents.set(name, agent)
    try {
      return await fetchWith(url, { agent, ...targetOf(url) }, init)
    } catch (error) {
      throw new ThroughProxy(proxy, error)
    }
  }
}

const targetOf = ({ hostname, port, pathname, search }: URL) => ({
  host: hostname.replace(/^\[(.*)\]$/, '$1'),
  ...(port !== '' && { port }),
  path: pathname + search,
})
