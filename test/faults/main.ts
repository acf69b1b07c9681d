import { availableParallelism, loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Environment, type Experiment } from './environment/environment.ts'
import { asLines, asRows, checkRows, type Figure, hasFailed, WHY } from './environment/report.ts'

/**
 * faults/ breaks what Mintmark depends on, under load, and checks the results:
 *
 *   npm run faults all experiments in the short form of CI, up to three at a time
 *   npm run faults -- F5 F11 some of them
 *   npm run faults -- --full with outages of a minute, one at a time; ends with the figures as a table
 *   npm run faults -- --strict enforces measurements too, one at a time: for an otherwise idle machine
 *   npm run faults -- --checks ends with the table of all checks for docs/faults.md
 *
 * Each experiment has its own file here and its own Postgres; environment/ has what they share. Ends with
 * "N passed, N failed", which counts invariants (environment/report.ts), and status 1 when one of them does not hold.
 */
const FILES = [
  'f01-kill',
  'f02-stop',
  'f03-partition',
  'f04-cold-start',
  'f05-failover',
  'f06-slow',
  'f10-pgbouncer',
  'f11-revocation',
  'f12-partitioned-revocation',
  'f17-rolling-restart',
  'f19-connections',
  'f20-slowloris',
  'f25-flood',
  'f26-reload',
  'f27-timing',
  'f28-keyed-writes',
  'f29-log',
  'f30-forged-rows',
  'f31-imported-flood',
  'f32-gateway-listeners',
  'f33-processes',
]
const OPTIONS = ['--full', '--strict', '--checks']
/** Mostly they wait for an outage. On a machine that is busy already only one runs. */
const AT_A_TIME = 3
const LOOK_AGAIN_MS = 5_000
const hasRoom = () => (loadavg()[0] ?? 0) < 2 * availableParallelism()

const words = process.argv.slice(2)
const [full, strict, checks] = OPTIONS.map(option => words.includes(option)) as [boolean, boolean, boolean]
const wanted = new Set(words.filter(word => !OPTIONS.includes(word)).map(word => word.toUpperCase()))
const experiments = await Promise.all(
  FILES.map(async file => (await import(`./${file}.ts`)).experiment as Experiment),
)
const unknownIds = [...wanted].filter(id => !experiments.some(experiment => experiment.id === id))
if (unknownIds.length > 0)
  throw new Error(`unknown: ${unknownIds.join(', ')}; known: ${experiments.map(({ id }) => id).join(', ')}`)

const open = new Set<Environment>()
const waiting = experiments.filter(({ id }) => wanted.size === 0 || wanted.has(id))
const closeAll = () => {
  waiting.length = 0
  return Promise.all([...open].map(environment => environment.close()))
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void closeAll().then(() => process.kill(process.pid, signal)))
process.once('uncaughtException', error => {
  console.error(error)
  void closeAll().then(() => process.exit(1))
})

const found = new Map<string, readonly Figure[]>()
const lane = async (_: unknown, index: number) => {
  while (waiting.length > 0) {
    const next = index === 0 || hasRoom() ? waiting.shift() : undefined
    await (next ? conduct(next) : sleep(LOOK_AGAIN_MS))
  }
}
await Promise.all(Array.from({ length: full || strict ? 1 : AT_A_TIME }, lane))

const done = experiments.flatMap(({ id, title }) => {
  const figures = found.get(id)
  return figures ? [{ id, title, figures }] : []
})
const all = done.flatMap(({ figures }) => figures)
const counted = all.filter(({ kind }) => kind === 'invariant' || (strict && kind === 'measurement'))
const failed = counted.filter(figure => hasFailed(figure, strict)).length
if (checks)
  console.log(`\n| experiment | check | kind | bound | why |\n|---|---|---|---|---|\n${checkRows(done)}`)
if (full) {
  const rows = done.map(({ id, title, figures }) => asRows(`${id} ${title}`, figures))
  console.log(`\n| experiment | figure | measured | bound |\n|---|---|---|---|\n${rows.join('\n')}`)
}
console.log(`\n${counted.length - failed} passed, ${failed} failed`)
// Resources that an experiment left open must not keep the process alive.
process.exit(failed > 0 ? 1 : 0)

async function conduct(experiment: Experiment): Promise<void> {
  const { id, title } = experiment
  const lacks = experiment.lacks?.()
  if (lacks && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1')
    return console.log(`\n${id} ${title}: skipped, ${lacks}`)
  const environment = new Environment({ full })
  open.add(environment)
  const begun = performance.now()
  try {
    await experiment.run(environment)
  } catch (error) {
    console.error(`${id}:`, error)
    environment.report.holds('it could be carried out', false, WHY.carriedOut)
  } finally {
    await environment.close()
    open.delete(environment)
  }
  const { figures } = environment.report
  found.set(id, figures)
  const seconds = ((performance.now() - begun) / 1000).toFixed(0)
  console.log(`\n${id} ${title} (${seconds} s)\n${asLines(figures, strict)}`)
}
