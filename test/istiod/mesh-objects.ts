import { request } from 'node:http'
import type { KubernetesObject } from '../../src/cli/sync/kubernetes-api.ts'

const network = (kind: string, name: string, spec: object): KubernetesObject => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'istio-system' },
  spec,
})

export const engineEntry = (name: string, port: number): KubernetesObject =>
  network('ServiceEntry', name, {
    hosts: [`${name}.example.com`],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'STATIC',
    location: 'MESH_EXTERNAL',
    endpoints: [{ address: '127.0.0.1', ports: { http: port } }],
  })

/** An ingress gateway on this port with everything routed to the engine. */
export function gatewayObjects(enginePort: number, gatewayPort: number): KubernetesObject[] {
  const port = { number: gatewayPort, name: 'http', protocol: 'HTTP' }
  const selector = { istio: 'ingressgateway' }
  const route = [{ destination: { host: 'engine.example.com', port: { number: 80 } } }]
  return [
    engineEntry('engine', enginePort),
    network('Gateway', 'engine', { selector, servers: [{ port, hosts: ['*'] }] }),
    network('VirtualService', 'engine', { hosts: ['*'], gateways: ['engine'], http: [{ route }] }),
  ]
}

/**
 * What the gateway answers to a call with the token; 0: nothing. On a connection of its own: Envoy drains connections that are
 * open when it receives other keys or policies, and checks their requests with the old ones until then.
 */
export function statusOf(port: number, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const path = '/v1/chat/completions'
  const options = { host: '127.0.0.1', port, path, method: 'POST', agent: false, headers }
  return new Promise(resolve => {
    const sent = request(options, answer => {
      answer.resume()
      answer.once('close', () => resolve(answer.statusCode ?? 0))
    })
    sent.once('error', () => resolve(0))
    sent.end('{"model":"llama-3-8b","messages":[]}')
  })
}
