import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, relative, resolve } from 'node:path'
import { rootTokenFile } from '../../config/development-secrets.ts'
import { CannotStart } from '../../errors.ts'
import { type Launched, launch } from '../../service/launch.ts'
import { systemClock } from '../../system/clock.ts'
import { fileFault } from '../../system/file-fault.ts'
import { systemRandom } from '../../system/random.ts'
import { verifyAsGateway } from '../../tokens/token-verifier.ts'
import { retryingCall } from '../retrying-call.ts'
import { exitOnFailure, onStopSignal } from './serve.ts'

/** The ports in the README's commands; a port that is taken is replaced by any free one. */
const PORTS = {
  MINTMARK_PUBLIC_PORT: 8080,
  MINTMARK_ADMIN_PORT: 8081,
  MINTMARK_GATEWAY_PORT: 8082,
  MINTMARK_GATEWAY_GRPC_PORT: 8083,
  MINTMARK_OPS_PORT: 8084,
}

/** A start takes a second or two, longer on a busy machine; after this time the command ends with the reason. */
const LONGEST_START_MS = 30_000

const MODEL = 'llama-3-8b'
const ADAPTER = 'acme-sql'
const TENANT = {
  id: 'acme',
  name: 'Acme',
  tier: 'premium',
  allowed_tiers: ['premium', 'batch'],
  adapters: [ADAPTER],
}

/**
 * Does everything that a user would do: starts the service on an embedded database, creates a tenant and a key over the
 * admin API (or uses the existing ones), exchanges the key over HTTP and verifies the token with the published keys.
 * Then prints the next steps, and keeps serving unless `exit`.
 */
export async function quickstart(environment: NodeJS.ProcessEnv, options: { exit: boolean }): Promise<void> {
  const taken = await takenPorts(environment)
  const anyPort = Object.fromEntries(taken.map(({ name }) => [name, '0']))
  const env: NodeJS.ProcessEnv = { LOG_LEVEL: 'warn', ...environment, ...anyPort }
  if (env.DATABASE_URL)
    throw new CannotStart('quickstart uses an embedded database: unset DATABASE_URL, or use "npm start"')
  say('Starting Mintmark on an embedded Postgres …')
  const launching = launch(env, { onProgress: message => say(`  ${message}`) })
  onStopSignal(launching, () =>
    say(`Stopped. The data remains in ${shown(resolve(env.MINTMARK_DATA_DIR || '.mintmark'))}.`),
  )
  const launched = await exitOnFailure(launching, environment)
  try {
    await show(launched, taken)
  } catch (error) {
    await launched.stop()
    throw error
  }
  if (!options.exit) return say('Serving until Ctrl-C.')
  await launched.stop()
  process.exit(0)
}

async function show(launched: Launched, taken: readonly Port[]): Promise<void> {
  await untilReady(launched)
  const { urls, issuer } = launched.service
  // Not earlier: the usual cause is another Mintmark in this folder, and then only that error should be shown.
  for (const { port } of taken)
    say(`  port ${port} is in use, so another one is used: adapt the commands of the README`)
  say(`  ready: tokens and JWKS on ${urls.public}, admin API on ${urls.admin}\n`)

  const keyFile = join(launched.config.dataDir, 'quickstart-key')
  const admin = adminClient(launched)
  await makeTenant(admin)
  const { secret, answer } = await exchangeSavedOrNewKey(admin, urls.public, keyFile)
  say(`Exchanged ${secret.slice(0, 20)}… for a token that expires in ${answer.expires_in} seconds.`)

  const { header, claims } = await verifyAsGateway(answer.access_token, {
    jwksUrl: `${urls.public}/.well-known/jwks.json`,
    issuer,
    audience: launched.config.audience,
  })
  say(`Verified with ${urls.public}/.well-known/jwks.json, as a gateway does:\n`)
  say(`${JSON.stringify(header)}\n${lineByLine(claims)}\n`)
  say(nextCommands(launched, keyFile, claims.sub ?? ''))
}

/** @throws {CannotStart} with the reason when the service stays unready. */
async function untilReady({ service }: Launched): Promise<void> {
  const over = new AbortController()
  await Promise.race([service.ready, systemClock.sleep(LONGEST_START_MS, over.signal)])
  over.abort()
  if (!service.isReady) throw new CannotStart(service.reason)
}

/** JSON with a line per claim, lists on one line. */
const lineByLine = (claims: object) =>
  `{\n${Object.entries(claims)
    .map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
    .join(',\n')}\n}`

type AdminClient = (
  method: string,
  path: string,
  body: object,
) => Promise<{ status: number; body: Record<string, unknown> }>

/** Repeats calls that are answered 503. @throws {Error} for anything but 2xx, and 409 for an object that already exists. */
function adminClient({ config, service }: Launched): AdminClient {
  const authorization = `Bearer ${config.rootTokens[0]?.reveal()}`
  return async (method, path, body) => {
    const headers = {
      authorization,
      'content-type': 'application/json',
      // A change that was made although its answer was 503 is not made again.
      ...(method === 'POST' && { 'idempotency-key': systemRandom.bytes(16).toString('hex') }),
    }
    const url = `${service.urls.admin}/admin/v1${path}`
    const response = await retryingCall(systemClock, `${method} /admin/v1${path}`, () =>
      fetch(url, { method, headers, body: JSON.stringify(body) }),
    )
    const answer = (await response.json()) as Record<string, unknown>
    if (response.ok || response.status === 409) return { status: response.status, body: answer }
    throw new Error(`${method} /admin/v1${path} failed: ${response.status} ${answer.detail}`)
  }
}

async function makeTenant(admin: AdminClient): Promise<void> {
  await admin('PUT', `/models/${MODEL}`, {})
  await admin('PUT', `/adapters/${ADAPTER}`, { base_model: MODEL })
  const { status } = await admin('POST', '/tenants', TENANT)
  say(status === 201 ? `Created the tenant "${TENANT.id}".` : `The tenant "${TENANT.id}" already exists.`)
}

interface TokenAnswer {
  access_token: string
  expires_in: number
}

/** A key is shown once, so the quickstart saves its key as a client would; a revoked or lost one is replaced. */
async function exchangeSavedOrNewKey(admin: AdminClient, publicUrl: string, keyFile: string) {
  const saved = await readFile(keyFile, 'utf8').catch(() => '')
  const again = saved && (await exchange(publicUrl, saved))
  if (again) {
    say('Using the key of the last time.')
    return { secret: saved, answer: again }
  }
  const { body } = await admin('POST', `/tenants/${TENANT.id}/keys`, { name: 'quickstart' })
  const secret = String(body.secret)
  // Without a final newline, so that curl's --data-urlencode name@file sends only the key.
  await writeFile(keyFile, secret, { mode: 0o600 }).catch(error => {
    const why = fileFault(error)
    throw why === undefined
      ? error
      : new CannotStart(`${keyFile} cannot be written: ${why}`, { cause: error })
  })
  say(`Created an API key for it: ${body.id}, kept in ${shown(keyFile)}.`)
  const answer = await exchange(publicUrl, secret)
  if (!answer) throw new Error('the new key was refused')
  return { secret, answer }
}

async function exchange(publicUrl: string, secret: string): Promise<TokenAnswer | undefined> {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_secret: secret })
  const response = await retryingCall(systemClock, 'POST /oauth/token', () =>
    fetch(`${publicUrl}/oauth/token`, { method: 'POST', body }),
  )
  if (response.status === 401) return undefined
  if (!response.ok) throw new Error(`the exchange failed: ${response.status} ${await response.text()}`)
  return (await response.json()) as TokenAnswer
}

function nextCommands({ config, service }: Launched, keyFile: string, keyId: string): string {
  const { urls } = service
  return `Three commands to continue with, in another terminal:

  # exchange the key for a token
  curl -s ${urls.public}/oauth/token -d grant_type=client_credentials --data-urlencode client_secret@${shown(keyFile)}

  # read the key, and what it may do
  curl -s ${urls.admin}/admin/v1/keys/${keyId} -H "Authorization: Bearer $(cat ${shown(rootTokenFile(config.keysDir))})"

  # revoke it: the first command is refused from then on
  curl -s -X POST ${urls.admin}/admin/v1/keys/${keyId}/revoke -H "Authorization: Bearer $(cat ${shown(rootTokenFile(config.keysDir))})"
`
}

interface Port {
  /** Its variable. */
  name: string
  port: number
}

/** Ports that the environment does not set and that are in use. */
async function takenPorts(environment: NodeJS.ProcessEnv): Promise<Port[]> {
  const host = environment.MINTMARK_HOST ?? '127.0.0.1'
  const taken: Port[] = []
  for (const [name, port] of Object.entries(PORTS)) {
    if (environment[name] === undefined && !(await isFree(host, port))) taken.push({ name, port })
  }
  return taken
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
}

const shown = (path: string) => relative(process.cwd(), path) || path

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
