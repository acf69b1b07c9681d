import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { childEnvironment } from '../support/child-environment.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const run = promisify(execFile)

/** A build of Mintmark: this one, or that of a commit. */
export interface Build {
  /** For the report: `0.2.0 (0315789)`. */
  name: string
  /** What `node` runs as the service. */
  main: string
  /** Runs `mintmark …`, and returns what it printed. */
  cli(words: readonly string[], env: Record<string, string>): Promise<string>
  /** Whether it has this migration. */
  hasMigration(name: string): boolean
  remove(): Promise<void>
}

export const thisBuild = (): Promise<Build> => buildIn(ROOT, 'this one', async () => {})

/** The newest commit that changed the version in package.json: the last release. `undefined` where git does not have it. */
export function lastRelease(): string | undefined {
  const found = git('log', '-1', '--format=%h', '-G"version":', '--', 'package.json')
  return found === '' ? undefined : found
}

/** The files of a commit, with its packages: ours where the versions are the same. */
export async function buildOf(commit: string): Promise<Build> {
  const directory = await mkdtemp(join(tmpdir(), 'mintmark-build-'))
  const remove = () => rm(directory, { recursive: true, force: true })
  try {
    const archive = join(directory, '.archive.tar')
    git('archive', '--format=tar', `--output=${archive}`, commit)
    await run('tar', ['-xf', archive, '-C', directory])
    await rm(archive)
    if (await hasSamePackages(directory))
      await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
    else await run('npm', ['ci', '--omit=dev', '--no-audit', '--no-fund'], { cwd: directory })
    return await buildIn(directory, git('rev-parse', '--short', commit), remove)
  } catch (error) {
    await remove()
    throw error
  }
}

async function buildIn(directory: string, name: string, remove: () => Promise<void>): Promise<Build> {
  const { version } = await packageOf(directory)
  return {
    name: `${version} (${name})`,
    main: join(directory, 'src/main.ts'),
    cli: async (words, env) => {
      const program = join(directory, 'src/cli/main.ts')
      const { stdout, stderr } = await run(process.execPath, [program, ...words], {
        cwd: directory,
        env: childEnvironment(env),
      })
      return stdout + stderr
    },
    hasMigration: migration => existsSync(join(directory, 'db/migrations', `${migration}.sql`)),
    remove,
  }
}

async function hasSamePackages(directory: string): Promise<boolean> {
  for (const [name, version] of Object.entries((await packageOf(directory)).dependencies)) {
    const installed = await packageOf(join(ROOT, 'node_modules', name)).catch(() => undefined)
    if (installed?.version !== version) return false
  }
  return true
}

async function packageOf(
  directory: string,
): Promise<{ version: string; dependencies: Record<string, string> }> {
  return JSON.parse(await readFile(join(directory, 'package.json'), 'utf8'))
}

const git = (...words: string[]) => execFileSync('git', words, { cwd: ROOT, encoding: 'utf8' }).trim()
