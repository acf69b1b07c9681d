import { asLines, asRows, type Figure } from './scene/report.ts'
import { type Experiment, Scene } from './scene/scene.ts'

/**
 * faults/ breaks what Mintmark stands on, under load, and holds what is measured against the bars:
 *
 *   npm run faults                  all experiments, with short outages, as CI does
 *   npm run faults -- F5 F11        some of them
 *   npm run faults -- --full        with outages of a minute; ends with the table of docs/faults.md
 *
 * Each experiment has a file of its own here and a Postgres of its own; scene/ has what they share. They must not run
 * beside anything that needs the processor. Ends with "N passed, N failed", counting figures, and status 1 when a bar
 * was missed.
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
]

const words = process.argv.slice(2)
const full = words.includes('--full')
const wanted = new Set(words.filter(word => !word.startsWith('-')).map(word => word.toUpperCase()))
const experiments = await Promise.all(
  FILES.map(async file => (await import(`./${file}.ts`)).experiment as Experiment),
)
const strangers = [...wanted].filter(id => !experiments.some(experiment => experiment.id === id))
if (strangers.length > 0)
  throw new Error(`there is no ${strangers.join(', ')}: ${experiments.map(({ id }) => id).join(', ')}`)

const rows: string[] = []
let [passed, failed] = [0, 0]
for (const experiment of experiments) {
  if (wanted.size === 0 || wanted.has(experiment.id)) await conduct(experiment)
}
if (full) console.log(`\n| experiment | figure | measured | bar |\n|---|---|---|---|\n${rows.join('\n')}`)
console.log(`\n${passed} passed, ${failed} failed`)
// Whatever a scene left open keeps nobody waiting.
process.exit(failed > 0 ? 1 : 0)

/** In the short form a bar that is missed is measured once more: CI's machine may have had something else to do. */
async function conduct(experiment: Experiment): Promise<void> {
  const { id, title } = experiment
  const lacks = experiment.lacks?.()
  if (lacks && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1')
    return console.log(`\n${id} ${title}: skipped, ${lacks}`)
  let figures = await carryOut(experiment)
  if (!full && figures.some(({ missed }) => missed)) {
    console.log(`\n${id} missed a bar: once more`)
    figures = await carryOut(experiment)
  }
  const missed = figures.filter(figure => figure.missed).length
  failed += missed
  passed += figures.filter(({ bar }) => bar !== '').length - missed
  rows.push(asRows(`${id} ${title}`, figures))
}

async function carryOut(experiment: Experiment): Promise<readonly Figure[]> {
  const scene = new Scene({ full })
  const end = (signal: NodeJS.Signals) => void scene.close().then(() => process.kill(process.pid, signal))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end)
  const die = (error: unknown) => {
    console.error(error)
    void scene.close().then(() => process.exit(1))
  }
  process.once('uncaughtException', die)
  const begun = performance.now()
  try {
    await experiment.run(scene)
  } catch (error) {
    console.error(error)
    scene.report.holds('it could be carried out', false)
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, end)
    process.off('uncaughtException', die)
    await scene.close()
  }
  const { figures } = scene.report
  const seconds = ((performance.now() - begun) / 1000).toFixed(0)
  console.log(`\n${experiment.id} ${experiment.title} (${seconds} s)\n${asLines(figures)}`)
  return figures
}
