import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startServer as startPostgres } from '../test/support/global-setup.ts'
import { TOKEN } from './answers.ts'
import { CONNECTIONS } from './comparison.ts'
import { LOAD_CORE, startMintmark } from './contestants.ts'
import { makeInstallation } from './installation.ts'
import { interleave } from './rounds.ts'

/**
 * Compares the exchange rate of this checkout with that of another commit, in alternating pairs on one core each:
 *
 *   node bench/against.ts <commit> [pairs, default 5]
 *
 * Prints the ratio of each pair and their median. The commit runs with this checkout's packages and schema.
 */
const [commit, pairs = '5'] = process.argv.slice(2)
if (commit === undefined || !(Number(pairs) > 0)) {
  console.error('Usage: node bench/against.ts <commit> [pairs]')
  process.exit(2)
}
const root = fileURLToPath(new URL('..', import.meta.url))
const git = (...words: string[]) => execFileSync('git', ['-C', root, ...words], { encoding: 'utf8' }).trim()
const directory = await mkdtemp(join('/dev/shm', 'mintmark-against-'))
const checkout = join(directory, 'checkout')
git('worktree', 'add', '--quiet', '--detach', checkout, commit)
await symlink(join(root, 'node_modules'), join(checkout, 'node_modules'))
const postgres = await startPostgres()
const installation = await makeInstallation(postgres.url, 1_000, directory)
try {
  const servers = [
    await startMintmark(installation, directory),
    await startMintmark(installation, directory, { checkout }),
  ] as const
  const load = {
    path: TOKEN,
    credentials: installation.all,
    connections: CONNECTIONS,
    seconds: 10,
    core: LOAD_CORE,
  }
  const [here, there] = await interleave(
    [
      { name: 'this checkout', server: servers[0], load },
      { name: commit, server: servers[1], load },
    ],
    Number(pairs),
  )
  await Promise.all(servers.map(server => server.stop()))
  const ratios = (here?.rounds ?? []).map((rate, index) => rate / (there?.rounds[index] ?? Number.NaN))
  const shown = (rates: readonly number[] | undefined) => rates?.map(rate => Math.round(rate)).join(', ')
  console.log(
    `this checkout (${git('rev-parse', '--short', 'HEAD')}): ${shown(here?.rounds)} exchanges a second`,
  )
  console.log(`${commit}: ${shown(there?.rounds)} exchanges a second`)
  console.log(
    `CPU an exchange: ${here?.cpuMicros.toFixed(1)} µs here, ${there?.cpuMicros.toFixed(1)} µs there`,
  )
  const sorted = [...ratios].sort((a, b) => a - b)
  console.log(`ratios: ${ratios.map(ratio => ratio.toFixed(3)).join(', ')}`)
  console.log(`median: ${sorted[sorted.length >> 1]?.toFixed(3)}`)
} finally {
  await installation.drop()
  await postgres.stop()
  git('worktree', 'remove', '--force', checkout)
  await rm(directory, { recursive: true })
}
