import { readFileSync } from 'node:fs'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { ROUTE_GROUPS, type RouteGroup } from '../../src/gateway/headers.ts'
import { tokenRoute } from '../clients/identity-programs.ts'
import { Environment } from '../faults/environment/environment.ts'
import type { Gateway } from '../gateway-configs/check-environment.ts'
import { noEnvoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { Checks } from './checks.ts'
import { apiOf, type DescribedApi, describedApi } from './described-api.ts'
import { type Engine, FORCED_USAGE, installEngine, startEngine } from './engine.ts'
import { checkClasses, checkFields, checkParts } from './fields.ts'
import { type Installation, startInstallation } from './installation.ts'
import { checkPrefixCache } from './prefix-cache.ts'
import { checkPriorities } from './priorities.ts'
import { measurePriorities } from './priority-figures.ts'
import { checkIdentityPrograms, checkRecipes, installOpenWebui, RECIPE_ENV, RECIPE_FLAGS } from './recipes.ts'
import { checkListedRoutes, checkRoutes } from './routes.ts'
import { checkPooling, checkServing, checkStoredResponses, checkTokenize } from './serving.ts'
import { checkUsage } from './usage.ts'

/**
 * engine/ runs a real vLLM on the CPU, with a tiny model and two adapters, behind Envoy with the files of deploy/ and
 * Mintmark, and checks what docs/guides/vllm.md says of it:
 *
 *   npm run engine
 *   npm run engine -- api                 only compares the routes and fields of the installed vLLM with ours, without starting it
 *   npm run engine -- generate            one configuration of the engine: generate, pooling, or recipes of docs/guides/clients.md
 *   npm run engine -- queue               whether premium runs before what waits of batch, on four routes
 *   npm run engine -- usage               what Mintmark counts is what vLLM counts, in its answers and in its metrics
 *   npm run engine -- priorities          only measures what priorities change: three pairs of runs with and without, on four routes
 *   npm run engine -- priorities --write  also writes the table and the plot of docs/guides/vllm.md
 *
 * The first time it installs vLLM (scripts/install-engine.sh). Ends with "N passed, N failed".
 */
const PARTS = ['api', 'generate', 'queue', 'pooling', 'usage', 'recipes', 'priorities'] as const
type Part = (typeof PARTS)[number]

/** What a configuration adds to the usual start. */
const ADDED = {
  generate: {},
  pooling: {},
  usage: { flags: FORCED_USAGE },
  recipes: { flags: RECIPE_FLAGS, env: RECIPE_ENV },
}
type Configuration = keyof typeof ADDED

const args = process.argv.slice(2)
const write = args.includes('--write')
const named = args.filter(arg => arg !== '--write')
const wants = (part: Part) => (named.length === 0 ? part !== 'priorities' : named.includes(part))
const unknown = named.filter(name => !PARTS.some(each => each === name))
if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known: ${PARTS.join(', ')}`)

const reason = noEnvoy ? 'Envoy is not installed' : installEngine()
if (reason) {
  console.log(`skipped: ${reason}\n0 passed, 0 failed`)
  process.exit(0)
}

const checks = new Checks()
const environment = new Environment({ full: false })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
try {
  if (wants('api')) {
    const api = await describedApi()
    await examineApi('vLLM with every switch', api)
    await checkListedRoutes(checks, api)
    await checkClasses(checks, api)
    await checkParts(checks, api)
  }
  if (PARTS.some(part => part !== 'api' && wants(part))) await examineEngines()
} finally {
  await environment.close()
}
checks.end()

async function examineEngines(): Promise<void> {
  const installation = await startInstallation(environment)
  if (wants('generate') || wants('queue') || wants('priorities'))
    await withEngine('generate', installation, async (engine, gateway) => {
      if (wants('generate')) await examineGenerate(installation, engine, gateway)
      if (wants('queue')) await checkPriorities(checks, await gateway('envoy.yaml'), installation)
      if (wants('priorities'))
        await measurePriorities(checks, await gateway('envoy.yaml'), installation, write)
    })
  if (wants('pooling'))
    await withEngine('pooling', installation, async (engine, gateway) => {
      await examineApi('this engine', await apiOf(engine))
      await checkPooling(checks, await gateway('envoy.yaml', ROUTE_GROUPS), installation)
    })
  if (wants('usage'))
    await withEngine('usage', installation, engine =>
      checkUsage(checks, engine, installation, end => environment.onEnd(end)),
    )
  if (wants('recipes')) {
    installOpenWebui()
    await withEngine('recipes', installation, async (engine, gateway) => {
      await checkRecipes(checks, engine, await gateway('envoy-api-keys.yaml'), installation)
      const identities = await gateway('envoy.yaml', undefined, tokenRoute())
      await checkIdentityPrograms(checks, engine, identities, installation)
    })
  }
}

type StartGateway = (
  file: string,
  groups?: readonly RouteGroup[],
  ...more: [from: string, to: string][]
) => Promise<string>

async function examineApi(of: string, api: DescribedApi): Promise<void> {
  await checkRoutes(checks, of, api)
  await checkFields(checks, of, api)
}

/** One engine at a time: each takes gigabytes. */
async function withEngine(
  configuration: Configuration,
  installation: Installation,
  work: (engine: Engine, gateway: StartGateway) => Promise<void>,
): Promise<void> {
  const begun = performance.now()
  const runner = configuration === 'pooling' ? 'pooling' : 'generate'
  const engine = await startEngine({ runner, ...ADDED[configuration] })
  environment.onEnd(engine.stop)
  const since = () => ((performance.now() - begun) / 1000).toFixed(0)
  console.log(`\nvLLM, ${configuration}: started in ${since()} s`)
  const gateways: Gateway[] = []
  try {
    await work(engine, async (file, groups, ...more) => {
      const started = await startGateway(file, installation, engine, groups, more)
      gateways.push(started)
      environment.onEnd(started.stop)
      return started.url
    })
    console.log(`${since()} s with the start`)
  } finally {
    for (const { stop } of gateways) await stop()
    await engine.stop()
  }
}

async function examineGenerate(
  installation: Installation,
  engine: Engine,
  gateway: StartGateway,
): Promise<void> {
  await examineApi('this engine', await apiOf(engine))
  const tokens = await gateway('envoy.yaml')
  await checkServing(checks, 'envoy.yaml, tokens', tokens, installation, 'token')
  const keys = await gateway('envoy-api-keys.yaml')
  await checkServing(checks, 'envoy-api-keys.yaml, keys', keys, installation, 'key')
  await checkStoredResponses(checks, engine, tokens, installation)
  await checkPrefixCache(checks, engine, 'envoy.yaml, tokens', tokens, installation)
  await checkPrefixCache(checks, engine, 'envoy-api-keys.yaml, tokens', keys, installation)
  await checkTokenize(checks, await gateway('envoy.yaml', ROUTE_GROUPS), installation)
}

/** Envoy with a file of deploy/envoy, or with the same file for other groups of routes, in front of this engine. */
function startGateway(
  name: string,
  { ports }: Installation,
  engine: Engine,
  groups?: readonly RouteGroup[],
  more: readonly [from: string, to: string][] = [],
): Promise<Gateway> {
  const path = `deploy/envoy/${name}`
  const file = groups
    ? (deployFiles(groups)[path] ?? '')
    : readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  const toCheck: [string, string][] = file.includes('address: mintmark, port_value: 8082')
    ? [['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${ports.gateway}`]]
    : []
  return startEnvoy(
    substitute(file, [
      ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${ports.public}`],
      ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${engine.port}`],
      ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
      ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
      ...toCheck,
      ...more,
    ]),
  )
}
