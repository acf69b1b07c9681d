import { ISSUER } from '../../deploy/generate/example.ts'
import type { Environment } from '../faults/environment/environment.ts'
import type { Replica } from '../faults/environment/replica.ts'
import type { Behind } from '../gateway-configs/check-environment.ts'

/** The only model that the tenant may use, and one that it may not. */
export const MODEL = 'llama-3-8b'
export const FOREIGN_MODEL = 'globex-sql'
export const TENANT = 'acme'

/** Of an event loop, in milliseconds. */
export interface LongestTurn {
  /** The longest delay, which has also the time in which other processes had every core. */
  ms: number
  /** The most that the loop's thread worked in one turn. */
  workMs: number
}

/** A Mintmark process, and what is needed to attack it. */
interface Mintmark {
  replica: Replica
  ports: Omit<Behind['ports'], 'upstream'>
  /** Since the last call. */
  longestTurn(): LongestTurn
}

/** Two processes on one database, with one tenant that may use one model. */
export interface Installation {
  /** With the defaults. */
  plain: Mintmark
  /** With MINTMARK_GATEWAY_MODEL=body. */
  readsBody: Mintmark
  /** A key of the tenant, and a token for it. */
  key: string
  token: string
}

/**
 * Tokens are RS256, which every gateway can verify, HAProxy included.
 * @throws {Error} when a key cannot be exchanged.
 */
export async function startInstallation(environment: Environment): Promise<Installation> {
  const postgres = await environment.postgres()
  const start = (env: Record<string, string> = {}) =>
    startMintmark(environment, postgres.applicationUrl(), env)
  const plain = await start()
  const { replica } = plain
  await replica.admin('PUT', `/models/${MODEL}`, {})
  await replica.admin('PUT', `/adapters/${FOREIGN_MODEL}`, { base_model: MODEL })
  await replica.change('/tenants', { id: TENANT, models: [MODEL], audiences: ['vllm'] })
  const { body: made } = await replica.change(`/tenants/${TENANT}/keys`, {})
  const { body: exchanged } = await replica.exchange(made.secret)
  if (!exchanged?.access_token) throw new Error('the key was not exchanged')
  const readsBody = await start({ MINTMARK_GATEWAY_MODEL: 'body' })
  return { plain, readsBody, key: made.secret, token: exchanged.access_token }
}

/** Writes its longest turns into its log (loop-delay.ts). */
export async function startMintmark(
  environment: Environment,
  databaseUrl: string,
  env: Record<string, string>,
): Promise<Mintmark> {
  const replica = await environment.replica(databaseUrl, {
    MINTMARK_ISSUER: ISSUER,
    MINTMARK_SIGNING_ALG: 'RS256',
    MINTMARK_TOKEN_TTL_SECONDS: '3600',
    NODE_OPTIONS: `--import=${new URL('loop-delay.ts', import.meta.url).href}`,
    ...env,
  })
  const [urls] = replica.process.logged('ready') as [Record<string, string>]
  const portOf = (name: string) => Number(new URL(urls[name] ?? '').port)
  let read = 0
  return {
    replica,
    ports: { public: portOf('public'), gateway: portOf('gateway'), gatewayGrpc: portOf('gatewayGrpc') },
    longestTurn: () => {
      const lines = replica.process.logged('loop delay')
      const fresh = lines.slice(read)
      read = lines.length
      const longest = (of: 'ms' | 'workMs') => Math.max(0, ...fresh.map(line => Number(line[of])))
      return { ms: longest('ms'), workMs: longest('workMs') }
    },
  }
}

/** SIGINT and SIGTERM end what the environment has started too. */
export function endWithSignals(environment: Environment): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void environment.close().then(() => process.exit(1)))
}
