import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findPackage, type ProgramsPackage } from '../../src/embedded-postgres/programs.ts'
import { systemRandom } from '../../src/system/random.ts'
import { Postgres } from '../faults/environment/postgres.ts'

/**
 * postgres-versions/ runs what depends on the version of Postgres on each major version that Mintmark supports:
 *
 *   npm run pg-versions             all
 *   npm run pg-versions -- 15 17    some of them
 *   npm run pg-versions -- --whole  with every setting of `npm run settings`, in place of a sample
 *
 * Each is a server with passwords (scram-sha-256). On it run the tests of database/ (an owner without superuser on
 * another role's database, a schema of its own, SQL_ASCII and LATIN1, migrations, rights, every hostile setting at once,
 * directly and through PgBouncer, a password that changes under load), and `npm run settings`.
 * `scripts/install-postgres-versions.sh` installs the binaries. Ends with "N passed, N failed".
 */
const MAJORS = ['15', '16', '17', '18']
const TESTS = [
  'change-feed',
  'change-listener',
  'changing-url',
  'database',
  'foreign-database',
  'indexes',
  'migrate',
  'password-command',
  'roles',
  'schema',
  'settings',
].map(name => `test/database/${name}.test.ts`)
/** Settings whose runs are drawn: others for each version. */
const seedOf = (major: string) => `versions-${major}`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { whole: { type: 'boolean', default: false } },
})
const { whole } = values
const unknown = positionals.filter(major => !MAJORS.some(each => each === major))
if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known: ${MAJORS.join(', ')}`)
const wanted = MAJORS.filter(major => positionals.length === 0 || positionals.includes(major))
let passed = 0
let failed = 0
for (const major of wanted) await onVersion(major)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

async function onVersion(major: string): Promise<void> {
  const postgres = await Postgres.empty(undefined, await binaries(major))
  try {
    const password = systemRandom.bytes(16).toString('hex')
    await postgres.sql(`ALTER ROLE postgres PASSWORD '${password}'`, [], 'postgres')
    const [row] = await postgres.sql('SELECT version()', [], 'postgres')
    await postgres.file('data/pg_hba.conf', 'host all all 127.0.0.1/32 scram-sha-256\n')
    await postgres.sql('SELECT pg_reload_conf()', [], 'postgres')
    const url = `postgres://postgres:${password}@127.0.0.1:${postgres.port}/postgres`
    console.log(`\n== ${row?.version}`)
    await runTests(url)
    await runSettings(url, whole ? [] : ['--sample', seedOf(major)])
  } catch (error) {
    failed++
    console.error(`Postgres ${major}:`, error)
  } finally {
    await postgres.remove()
  }
}

async function binaries(major: string): Promise<ProgramsPackage> {
  const installed = await findPackage()
  if (installed.name.split('-').some(part => part.startsWith(`${major}.`))) return installed
  const cache = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
  const directory = join(cache, `postgres-${major}`)
  if (!existsSync(join(directory, 'native')))
    throw new Error(`Postgres ${major} is not installed: run scripts/install-postgres-versions.sh`)
  // A copy for the database's user has this name.
  return { directory, name: `postgres-${readFileSync(join(directory, 'version'), 'utf8').trim()}` }
}

async function runTests(url: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'mintmark-versions-'))
  const results = join(directory, 'results.json')
  try {
    const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--maxWorkers=1', '--reporter=dot']
    const { status } = await run(
      [...vitest, '--reporter=json', `--outputFile.json=${results}`, ...TESTS],
      url,
    )
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(results, 'utf8'))
    // Errors outside of tests fail the run, and no test.
    count(numPassedTests, Math.max(numFailedTests, status === 0 ? 0 : 1))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function runSettings(url: string, options: readonly string[]): Promise<void> {
  const { said } = await run(['test/settings/main.ts', ...options], url)
  const [, good, bad] = /^(\d+) passed, (\d+) failed$/m.exec(said) ?? []
  if (good === undefined) throw new Error('"npm run settings" did not end')
  count(Number(good), Number(bad))
}

function count(good: number, bad: number): void {
  passed += good
  failed += bad
}

/** Returns what it printed, which is shown too, save the counts, as only the sum is the result. */
async function run(words: readonly string[], url: string): Promise<{ said: string; status: number | null }> {
  const child = spawn(process.execPath, words, {
    env: { ...process.env, TEST_DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    said += text
    process.stdout.write(text.replaceAll(/^(\d+) passed, (\d+) failed$/gm, '$1 held, $2 failed'))
  })
  const status = await new Promise<number | null>(resolve => child.once('close', resolve))
  return { said, status }
}
