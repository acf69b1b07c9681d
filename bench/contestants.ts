import type { Installation } from './installation.ts'
import { LOAD_CORE, SERVER_CORE, type ServerProcess, startServer } from './process.ts'

export { LOAD_CORE, SERVER_CORE }

/** Mintmark as `npm start` runs it, with its access log in a file of `directory`. */
export function startMintmark(
  installation: Installation,
  directory: string,
  options: { core?: number | string; env?: Record<string, string>; checkout?: string } = {},
): Promise<ServerProcess> {
  const { checkout } = options
  return startServer({
    ...(checkout !== undefined && { checkout }),
    core: options.core ?? SERVER_CORE,
    script: ['scripts/require-node.js', 'src/main.ts'],
    // The inspector is off; when a signal starts it, it uses any free port.
    env: { NODE_OPTIONS: '--inspect-port=0', ...installation.environment, ...options.env },
    directory,
  })
}

export function startCeiling(
  installation: Installation,
  jwks: { headers: Record<string, string>; body: string },
  directory: string,
): Promise<ServerProcess> {
  const script = ['bench/servers/ceiling.ts', installation.apiKey, JSON.stringify(jwks.headers), jwks.body]
  return startServer({ core: SERVER_CORE, script, directory })
}

export function startOidcProvider(installation: Installation, directory: string): Promise<ServerProcess> {
  const clientId = `key_${installation.apiKey.slice(4, 20)}`
  const script = ['bench/servers/oidc-provider.js', clientId, installation.apiKey]
  return startServer({ core: SERVER_CORE, script, directory })
}
