import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startServer as startPostgres } from '../test/support/global-setup.ts'
import { makeInstallation } from './installation.ts'
import { type Cell, markdown, publish, type Table } from './report.ts'
import { type Bench, PARTS } from './tables.ts'

/**
 * bench/ compares Mintmark with the machine's limit and with another issuer, in one run on one machine:
 *
 *   npm run bench everything, about twenty minutes; writes docs/performance.md and its files
 *   npm run bench -- --quick a one-minute trial run; writes nothing
 *   npm run bench -- --only comparison one of the tables, written to the page
 *   npm run bench -- --peers only Keycloak and Ory Hydra next to it (bench/peer-programs.ts); never part of the others
 *
 * Needs Linux with two cores or more, and wrk (Debian: apt-get install wrk). Uses embedded Postgres, or a superuser's
 * TEST_DATABASE_URL.
 */
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    peers: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
  },
})
const { quick, peers } = values
const wanted = peers ? ['peers'] : values.only
const unknown = values.only?.filter(name => !(name in PARTS)) ?? []
if (unknown.length > 0)
  fail(`there is no table ${unknown.join(', ')}: there are ${Object.keys(PARTS).join(', ')}`)
for (const program of ['wrk', 'taskset']) {
  try {
    execFileSync('which', [program], { stdio: 'ignore' })
  } catch {
    fail(`needs ${program}, on Linux: apt-get install -y wrk util-linux`)
  }
}
if (cpus().length < 2) fail('needs two cores: one for the server, one for the load')

const begin = performance.now()
// In memory, because the servers' logs are written there and the disk is not measured.
const directory = await mkdtemp(join('/dev/shm', 'mintmark-bench-'))
const postgres = await startPostgres()
const made = new Map<number, ReturnType<typeof makeInstallation>>()
const bench: Bench = {
  directory,
  postgres: postgres.url,
  pace: quick ? { rounds: 1, seconds: 2 } : { rounds: 5, seconds: 4 },
  sizes: quick ? [1, 1_000, 10_000] : [1, 1_000, 100_000, 250_000, 1_000_000],
  exchanges: quick ? 20_000 : 1_000_000,
  installation: keys => {
    const installation = made.get(keys) ?? makeInstallation(postgres.url, keys, directory)
    made.set(keys, installation)
    return installation
  },
}
try {
  for (const [name, measure] of Object.entries(PARTS)) {
    if (wanted ? !wanted.includes(name) : name === 'peers') continue
    const table: Table = { name, ...(await measure(bench)) }
    console.log(`\n${name} (${Math.round((performance.now() - begin) / 1000)} s)\n\n${markdown(table)}`)
    if (!quick) publish(table, machine())
  }
} finally {
  for (const installation of made.values()) await (await installation).drop()
  await postgres.stop()
  await rm(directory, { recursive: true })
}

function machine(): string {
  const model: Cell = cpus()[0]?.model.trim() ?? 'unknown'
  return `${cpus().length} cores (${model}), Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`
}

function fail(why: string): never {
  console.error(`bench: ${why}`)
  process.exit(1)
}
