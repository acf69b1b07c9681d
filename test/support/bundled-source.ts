import { createHash } from 'node:crypto'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Plugin } from 'rolldown'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** What tests start in processes of their own, with its name in the bundle. */
const PROGRAMS = { main: 'src/main.ts', cli: 'src/cli/main.ts' }

/** These load parts of themselves from their folder. */
const EXTERNAL = ['bcrypt', 'pg-native']

/** Everything that a bundle is made from. */
const INPUTS = ['src/**/*.ts', 'scripts/*.js', 'package-lock.json', 'test/support/bundled-source.ts']

/**
 * Before tests: bundles src/ with its packages. A process that a test starts loads a few files in place of a thousand, in a
 * third of the time. The bundle is built once for each content of its inputs, so it is never stale. test/readme.test.ts and
 * test/service/start.test.ts run src/ as it is.
 */
export default async function bundleSource(): Promise<void> {
  const folder = join(ROOT, 'node_modules/.cache', `bundled-source-${hashOfInputs()}`)
  if (!existsSync(folder)) await build(folder)
  process.env.BUNDLED_SOURCE = folder
}

/** The file to run for a program: that in the bundle, if this run has one. */
export function bundled(program: keyof typeof PROGRAMS): string {
  const { BUNDLED_SOURCE: folder } = process.env
  return folder ? join(folder, `${program}.mjs`) : join(ROOT, PROGRAMS[program])
}

function hashOfInputs(): string {
  // The place too: node_modules may be a copy of another clone's.
  const hash = createHash('sha256').update(ROOT)
  for (const name of globSync(INPUTS, { cwd: ROOT }).sort()) {
    hash.update(`${name}\0`).update(readFileSync(join(ROOT, name)))
  }
  return hash.digest('hex').slice(0, 16)
}

/** It appears complete, by a rename, as several runs may build it. */
async function build(folder: string): Promise<void> {
  await mkdir(dirname(folder), { recursive: true })
  const unfinished = await mkdtemp(`${folder}-`)
  const { rolldown } = await import('rolldown')
  const bundle = await rolldown({
    cwd: ROOT,
    input: PROGRAMS,
    platform: 'node',
    external: EXTERNAL,
    plugins: [ORIGINAL_URLS],
  })
  await bundle.write({ dir: unfinished, format: 'esm', entryFileNames: '[name].mjs' })
  await bundle.close()
  await chmod(unfinished, 0o755)
  await rename(unfinished, folder).catch(() => rm(unfinished, { recursive: true }))
}

/** Files that the source finds by its own place are where they were. */
const ORIGINAL_URLS: Plugin = {
  name: 'original-urls',
  transform: (code, id) =>
    id.startsWith(join(ROOT, 'node_modules'))
      ? null
      : code.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href)),
}
