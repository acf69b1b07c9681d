import { MODEL_ROUTES } from '../../../src/gateway/headers.ts'
import { Environment } from '../../faults/environment/environment.ts'
import { GATEWAY_FILES, type GatewayFile, startGateway } from '../gateways.ts'
import { grpcCheck } from '../grpc-check.ts'
import { endWithSignals, type Installation, MODEL, startInstallation } from '../installation.ts'
import { type BodyCase, bodyCases } from './bodies.ts'
import { type Engine, type Seen, startEngine } from './engine.ts'
import { HEADER_FORMS } from './header-forms.ts'
import { onLanes, sendBody } from './senders.ts'
import { bodyFault, headerFaults } from './verdict.ts'

/**
 * differential/ compares what every gateway of deploy/ checked with what the engine reads: a real uvicorn with httptools,
 * json.loads and pydantic (engine.py), behind each gateway that this machine can run. A tenant that may use one model sends
 * generated bodies, and valid requests with forged headers:
 *
 *   npm run differential a few hundred of each to every gateway, as in CI
 *   npm run differential -- nginx some of them
 *   npm run differential -- --full 12,000 bodies and every header form to every gateway
 *   npm run differential -- --seed 7 other bodies; the same seed makes the same ones
 *   npm run differential -- --seed 7 --case 12 nginx one of them, with what it is
 *
 * A body that reaches the engine and means another model there, an ordinary body with the allowed model that is refused, a
 * forged header that arrives, and a request that was not sent are failures. Ends with "N passed, N failed", which counts
 * these for every gateway.
 */
const SIZES = {
  short: { bodies: 600, forms: 200 },
  full: { bodies: 12_000, forms: HEADER_FORMS.length },
}
const LANES = 16
/** Failures that are printed of each kind. */
const PRINTED = 10
const CONTROL: BodyCase = {
  ...{ body: Buffer.from(JSON.stringify({ model: MODEL })), headers: [['Content-Type', 'application/json']] },
  ...{ isPlain: true, how: 'control' },
}

const words = process.argv.slice(2)
const number = (option: string): number | undefined =>
  words.includes(option) ? Number(words[words.indexOf(option) + 1]) : undefined
const seed = number('--seed') ?? 1
const only = number('--case')
const size = SIZES[words.includes('--full') ? 'full' : 'short']
const wanted = words.filter(word => !word.startsWith('--') && !/^\d+$/.test(word))
const MINTMARK = ['mintmark-http', 'mintmark-grpc'] as const
const names = [...GATEWAY_FILES.map(({ name }) => name), ...MINTMARK]
const unknown = wanted.filter(name => !names.includes(name))
if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known: ${names.join(', ')}`)
const isWanted = (name: string) => wanted.length === 0 || wanted.includes(name)

/** By their number, of which one may be wanted. */
const cases = new Map(
  [...bodyCases(seed, only === undefined ? size.bodies : only + 1).entries()].filter(
    ([index]) => only === undefined || index === only,
  ),
)
const forms = only === undefined ? spread(HEADER_FORMS, size.forms) : []
const counts = { passed: 0, failed: 0 }
const environment = new Environment({ full: false })
endWithSignals(environment)
try {
  const engine = await startEngine()
  environment.onEnd(() => engine.stop())
  const installation = await startInstallation(environment)
  const readings = await readBy(engine)
  if (only !== undefined) show(readings)
  for (const file of GATEWAY_FILES.filter(({ name }) => isWanted(name))) {
    if (file.absent) console.log(`\n${file.name}: skipped, it is not installed`)
    else await compare(file, installation, engine, readings)
  }
  for (const name of MINTMARK.filter(isWanted)) await compareCheck(name, installation, readings)
} finally {
  await environment.close()
}
console.log(`\nseed ${seed}\n${counts.passed} passed, ${counts.failed} failed`)
process.exit(counts.failed > 0 ? 1 : 0)

type Readings = ReadonlyMap<number, Seen>

/** What the engine makes of each body without a gateway. */
async function readBy(engine: Engine): Promise<Readings> {
  const url = `${engine.url}/v1/chat/completions`
  await onLanes(LANES, [...cases], async ([index, each]) => {
    await sendBody(url, each, undefined, agentOf(index))
  })
  return new Map((await engine.seen()).map(seen => [numberOf(seen) ?? -1, seen]))
}

async function compare(
  file: GatewayFile,
  installation: Installation,
  engine: Engine,
  readings: Readings,
): Promise<void> {
  const gateway = await startGateway(file, installation, engine.port)
  environment.onEnd(gateway.stop)
  const credential = (index: number) =>
    installation[file.credentials[index % file.credentials.length] ?? 'token']
  try {
    await engine.seen()
    const statuses = new Map<number, number>()
    // Caddy checks no model: every body may pass.
    if (file.checksModel)
      await onLanes(LANES, [...cases], async ([index, each]) => {
        const url = gateway.url + pathOf(index)
        statuses.set(index, await sendBody(url, each, credential(index), agentOf(index)))
      })
    const again = (index: number, each: BodyCase) =>
      sendBody(gateway.url + pathOf(index), each, credential(index), agentOf(index))
    await repeatUnanswered(statuses, again)
    const reached = await engine.seen()
    judgeBodies(file.name, statuses, reached, readings)
    await judgeForms(file, engine, gateway.url, credential)
  } finally {
    await gateway.stop()
  }
}

/** Mintmark's own check, which says whether the body may go to the engine. */
async function compareCheck(
  name: (typeof MINTMARK)[number],
  { readsBody, key, token }: Installation,
  readings: Readings,
): Promise<void> {
  const url = `http://127.0.0.1:${readsBody.ports.gateway}/check/v1/chat/completions`
  const overGrpc = grpcCheck(`http://127.0.0.1:${readsBody.ports.gatewayGrpc}`, 20_000)
  const statuses = new Map<number, number>()
  await onLanes(LANES, [...cases], async ([index, each]) => {
    const credential = index % 2 ? key : token
    const status =
      name === 'mintmark-grpc'
        ? await overGrpc(credential, each.body, joined(each.headers))
        : await sendBody(url, each, credential, agentOf(index))
    statuses.set(index, status)
  })
  const admitted = [...statuses].filter(([, status]) => status === 200).map(([index]) => index)
  judgeBodies(
    name,
    statuses,
    admitted.flatMap(index => readings.get(index) ?? []),
    readings,
  )
}

function pathOf(index: number): string {
  return MODEL_ROUTES[index % MODEL_ROUTES.length]?.path ?? ''
}

/** A gateway may have waited for another answer for too long, with so many requests at once: now one after another. */
async function repeatUnanswered(
  statuses: Map<number, number>,
  send: (index: number, each: BodyCase) => Promise<number>,
): Promise<void> {
  for (const [index, status] of statuses) {
    const each = cases.get(index)
    if (each && isUnanswered(status)) statuses.set(index, await send(index, each))
  }
}

function isUnanswered(status: number): boolean {
  return status === 0 || status >= 500
}

/** By name in lower case, repeated ones as Envoy joins them. */
function joined(headers: readonly [string, string][]): Record<string, string> {
  const byName = Map.groupBy(headers, ([name]) => name.toLowerCase())
  return Object.fromEntries([...byName].map(([name, all]) => [name, all.map(([, value]) => value).join(',')]))
}

function judgeBodies(
  name: string,
  statuses: ReadonlyMap<number, number>,
  reached: readonly Seen[],
  readings: Readings,
): void {
  if (statuses.size === 0) {
    console.log(`\n${name}: does not check the model`)
    return
  }
  const byNumber = new Map(reached.map(seen => [numberOf(seen) ?? -1, seen]))
  const wrong = [...byNumber].flatMap(([index, seen]) => {
    const fault = bodyFault(seen)
    return fault ? [`${of(index)}: ${fault}`] : []
  })
  const refused = [...statuses].filter(([index]) => !byNumber.has(index))
  const plain = refused.filter(([index, status]) => cases.get(index)?.isPlain && !isUnanswered(status))
  const readable = refused.filter(([index]) => readings.get(index)?.model === MODEL)
  const unreadable = reached.filter(({ reads }) => !reads)
  const silent = [...statuses].filter(([, status]) => isUnanswered(status))
  console.log(
    `\n${name}: ${statuses.size} bodies, ${byNumber.size} passed on (the engine refuses ${unreadable.length} of them), ` +
      `${refused.length} refused, ${readable.length} of which the engine reads as the allowed model: ${reasons(readable)}`,
  )
  judge(name, 'no body reaches the engine with another model than was checked', wrong)
  judge(name, 'every ordinary body with the allowed model is passed on', plain.map(refusal))
  judge(name, 'every body is answered', silent.map(refusal))
}

function refusal([index, status]: readonly [number, number]): string {
  return `${of(index)}: ${status || 'no answer'}`
}

/** The statuses of bodies, most frequent first, with an example of each. */
function reasons(refused: readonly (readonly [number, number])[]): string {
  const byStatus = [...Map.groupBy(refused, ([, status]) => status)].sort(
    ([, a], [, b]) => b.length - a.length,
  )
  return byStatus
    .map(([status, those]) => `${status} ${those.length} times, as ${of(those[0]?.[0] ?? -1)}`)
    .join('; ')
}

async function judgeForms(
  { name, http2 }: GatewayFile,
  engine: Engine,
  url: string,
  credential: (index: number) => string,
): Promise<void> {
  if (only !== undefined) return
  const sent = forms.filter(({ needsHttp2 }) => http2 || !needsHttp2)
  await sendBody(`${url}/v1/chat/completions`, CONTROL, credential(0), 'control')
  const controls = await engine.seen()
  await onLanes(LANES, sent, (form, index) => form.send(url, credential(index), agentOf(index)))
  const reached = await engine.seen()
  const wrong = reached.flatMap(seen =>
    headerFaults(seen).map(fault => `${sent[numberOf(seen) ?? -1]?.how ?? 'unknown'}: ${fault}`),
  )
  console.log(`${name}: ${sent.length} header forms, ${reached.length} passed on`)
  judge(name, 'nothing forged arrives', [
    ...wrong,
    ...(controls.length === 1 ? [] : ['the control did not arrive']),
    ...controls.flatMap(headerFaults),
  ])
  const strays = reached.filter(seen => sent[numberOf(seen) ?? -1] === undefined)
  const repeated = reached.length - new Set(reached.map(numberOf)).size
  judge(name, 'only requests that were sent arrive, each once', [
    ...strays.map(({ path }) => `${path}, which nobody sent`),
    ...(repeated > 0 ? [`${repeated} arrived twice`] : []),
  ])
}

function judge(name: string, what: string, faults: readonly string[]): void {
  counts[faults.length > 0 ? 'failed' : 'passed']++
  const example = faults.length > 0 ? `: ${faults.length} times, as ${faults[0]}` : ''
  console.log(`  ${faults.length > 0 ? 'FAILED ' : 'ok     '} ${name}: ${what}${example}`)
  for (const fault of faults.slice(1, PRINTED)) console.log(`          ${fault}`)
}

function show(readings: Readings): void {
  for (const [index, { body, headers, how }] of cases) {
    const { reads, model } = readings.get(index) ?? {}
    console.log(
      `case ${index}: ${how}\n${JSON.stringify(headers)}\n${JSON.stringify(body.toString('latin1'))}`,
    )
    console.log(`the engine ${reads ? `reads the model ${JSON.stringify(model)}` : 'refuses it'}`)
  }
}

function of(index: number): string {
  return `--case ${index} (${cases.get(index)?.how ?? 'unknown'})`
}

function agentOf(index: number): string {
  return `case/${index}`
}

function numberOf({ headers }: Seen): number | undefined {
  const agent = headers.find(([name]) => name === 'user-agent')?.[1]
  const found = /^case\/(\d+)$/.exec(agent ?? '')?.[1]
  return found === undefined ? undefined : Number(found)
}

/** So many of them, spread evenly, others for another seed. */
function spread<T>(all: readonly T[], count: number): T[] {
  const step = all.length / Math.min(count, all.length)
  return Array.from({ length: Math.min(count, all.length) }, (_, n) => {
    return all[(Math.floor(n * step) + seed) % all.length] as T
  })
}
