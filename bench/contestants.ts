import { freePort } from '../test/support/free-port.ts'
import type { Answers } from './answers.ts'
import type { Installation } from './installation.ts'
import { LOAD_CORE, type LogOutput, SERVER_CORE, type ServerProcess, startServer } from './process.ts'

export { LOAD_CORE, SERVER_CORE }

const MINTMARK = ['scripts/require-node.js', 'src/main.ts']

/** Mintmark as `npm start` runs it, with its access log in a file of `directory`, or a pipe. */
export function startMintmark(
  installation: Installation,
  directory: string,
  options: { core?: number | string; env?: Record<string, string>; checkout?: string; log?: LogOutput } = {},
): Promise<ServerProcess> {
  const { checkout, log } = options
  return startServer({
    ...(checkout !== undefined && { checkout }),
    ...(log !== undefined && { log }),
    core: options.core ?? SERVER_CORE,
    script: MINTMARK,
    // The inspector is off; when a signal starts it, it uses any free port.
    env: { NODE_OPTIONS: '--inspect-port=0', ...installation.environment, ...options.env },
    directory,
  })
}

/** Mintmark without a log. So it does not log that it is ready either, and its ports are chosen here. */
export async function startSilent(installation: Installation, directory: string): Promise<ServerProcess> {
  const [port, ops] = [await freePort(), await freePort()]
  const ports = { MINTMARK_PUBLIC_PORT: String(port), MINTMARK_OPS_PORT: String(ops) }
  return startServer({
    core: SERVER_CORE,
    script: MINTMARK,
    env: { ...installation.environment, ...ports, LOG_LEVEL: 'silent' },
    directory,
    ready: async () => {
      const answer = await fetch(`http://127.0.0.1:${ops}/readyz`).catch(() => undefined)
      return answer?.ok ? { public: `http://127.0.0.1:${port}` } : undefined
    },
  })
}

export function startCeiling(
  installation: Installation,
  answers: Answers,
  directory: string,
): Promise<ServerProcess> {
  const script = ['bench/servers/ceiling.ts', installation.apiKey, JSON.stringify(answers)]
  return startServer({ core: SERVER_CORE, script, directory })
}

export function startOidcProvider(installation: Installation, directory: string): Promise<ServerProcess> {
  const clientId = `key_${installation.apiKey.slice(4, 20)}`
  const script = ['bench/servers/oidc-provider.js', clientId, installation.apiKey]
  return startServer({ core: SERVER_CORE, script, directory })
}
