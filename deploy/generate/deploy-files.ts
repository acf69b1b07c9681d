import { CONTRACT_NUMBER } from '../../src/gateway/headers.ts'
import { caddyFiles } from './caddy/caddy.ts'
import { envoyFiles } from './envoy/envoy.ts'
import { envoyGatewayFiles } from './envoy-gateway/envoy-gateway.ts'
import { haproxyFiles } from './haproxy/haproxy.ts'
import { istioFiles } from './istio/istio.ts'
import { nginxFiles } from './nginx/nginx.ts'

/**
 * Every file below deploy/ that is generated from templates: path → content. test/gateway-configs/deploy-files.test.ts
 * compares.
 */
export function deployFiles(): Record<string, string> {
  const files = {
    ...envoyFiles(),
    ...envoyGatewayFiles(),
    ...istioFiles(),
    ...nginxFiles(),
    ...haproxyFiles(),
    ...caddyFiles(),
  }
  return Object.fromEntries(Object.entries(files).map(([path, text]) => [path, numbered(path, text)]))
}

/** The text with the contract number below the line that says where it comes from. */
function numbered(path: string, text: string): string {
  const [line, mark] =
    /^(#|--|\/\/) Generated from deploy\/generate\/ by npm run generate.*$/m.exec(text) ?? []
  if (line === undefined) throw new Error(`${path} does not say that it is generated`)
  return text.replace(line, `${line}\n${mark} Contract number: ${CONTRACT_NUMBER}.`)
}
