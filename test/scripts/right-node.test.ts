import { type ChildProcess, spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { cp, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }

/**
 * The launcher in a temporary checkout, with a fake "pinned Node". Real old Nodes and npms are tested by
 * scripts/bare-machine, in CI.
 */
const root = fileURLToPath(new URL('../../', import.meta.url))
const platform = `${process.platform}-${process.arch}`
  .replace('win32', 'win')
  .replace('darwin-arm', 'bin-darwin-arm')
const pinned = `node_modules/node-${platform}`

/** Prints how it was started, then does what its first argument names. */
const SCRIPT = `
  import { execFileSync } from 'node:child_process'
  const [what, ...rest] = process.argv.slice(2)
  const onPath = execFileSync('/bin/sh', ['-c', 'command -v node'], { encoding: 'utf8' }).trim()
  if (what === 'drain') process.on('SIGTERM', signal => { console.log(JSON.stringify({ signal })); process.exit(5) })
  console.log(JSON.stringify({ pid: process.pid, pinned: process.env.PINNED === '1', rest, onPath, script: process.argv[1] }))
  if (what === 'status') process.exit(7)
  if (what === 'throw') throw new TypeError('a fault of ours')
  if (what === 'wait' || what === 'drain') setInterval(() => {}, 60_000)`

/** A Node with an older version number, as our launcher reads it. */
const OLD = `--import=data:text/javascript,${encodeURIComponent("Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.8' } })")}`

/** As the kernel treats a program without its loader. */
const MUSL = '#!/lib/ld-musl-none\n'

let folder: string
const children = new Set<ChildProcess>()
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'mintmark-launcher-')))
  for (const name of ['right-node.js', 'require-node.js'])
    await cp(join(root, 'scripts', name), join(folder, 'scripts', name))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  await writeFile(join(folder, 'script.js'), SCRIPT)
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await rm(folder, { recursive: true })
})

/** The package of the pinned Node: undefined = not installed. */
async function install(version: string | undefined, program = `PINNED=1 exec "${process.execPath}" "$@"`) {
  await rm(join(folder, pinned), { recursive: true, force: true })
  if (version === undefined) return
  await mkdir(join(folder, pinned, 'bin'), { recursive: true })
  await writeFile(
    join(folder, pinned, 'package.json'),
    JSON.stringify({ version, bin: { node: 'bin/node' } }),
  )
  await writeFile(
    join(folder, pinned, 'bin/node'),
    program.startsWith('#!') ? program : `#!/bin/sh\n${program}\n`,
    { mode: 0o755 },
  )
}

function start(args: string[], options: string[] = []) {
  const child = spawn(process.execPath, [...options, 'scripts/require-node.js', 'script.js', ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '' },
  })
  children.add(child)
  const lines: Record<string, unknown>[] = []
  let errors = ''
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  const first = new Promise(resolve =>
    createInterface(child.stdout).on('line', line => {
      lines.push(JSON.parse(line))
      resolve(undefined)
    }),
  )
  const ended = new Promise<{ status: number | null; signal: string | null }>(resolve =>
    child.once('close', (status, signal) => {
      children.delete(child)
      resolve({ status, signal })
    }),
  )
  return { child, first, ended, lines, errors: () => errors }
}

describe.skipIf(process.platform === 'win32')('on a Node that is not the pinned one', () => {
  it('the pinned one continues with the script and its arguments, without a link to it', async () => {
    await install('99.0.0')
    const { ended, lines } = start(['a', 'two words', '--flag'])
    expect(await ended).toEqual({ status: 0, signal: null })
    expect(lines[0]).toMatchObject({
      pinned: true,
      rest: ['two words', '--flag'],
      script: join(folder, 'script.js'),
    })
  })

  it('"node" inside the script is the pinned one too', async () => {
    await install('99.0.0')
    const { ended, lines } = start([])
    await ended
    expect(lines[0]?.onPath).toBe(join(folder, pinned, 'bin/node'))
  })

  it.each([
    ['its status', 'status', 7],
    ['status 1 and the stack of what it threw', 'throw', 1],
  ])('exits with %s', async (_, what, status) => {
    await install('99.0.0')
    const { ended, errors } = start([what])
    expect(await ended).toEqual({ status, signal: null })
    expect(errors().includes('TypeError: a fault of ours\n    at ')).toBe(what === 'throw')
  })

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'forwards %s, and is ended by it as the script was',
    async signal => {
      await install('99.0.0')
      const { child, first, ended, lines } = start(['wait'])
      await first
      child.kill(signal)
      expect(await ended).toEqual({ status: null, signal })
      expect(() => process.kill(lines[0]?.pid as number, 0)).toThrow('ESRCH')
    },
  )

  it('lets the script finish after SIGTERM, and exits with its status', async () => {
    await install('99.0.0')
    const { child, first, ended, lines } = start(['drain'])
    await first
    child.kill('SIGTERM')
    expect(await ended).toEqual({ status: 5, signal: null })
    expect(lines[1]).toEqual({ signal: 'SIGTERM' })
  })

  it('is killed by the same signal as the script', async () => {
    await install('99.0.0')
    const { first, ended, lines } = start(['wait'])
    await first
    process.kill(lines[0]?.pid as number, 'SIGKILL')
    expect(await ended).toEqual({ status: null, signal: 'SIGKILL' })
  })
})

describe('continues in the same process', () => {
  it.each([
    ['on the pinned version', process.versions.node, undefined],
    ['without a pinned Node', undefined, undefined],
    ['with a pinned Node for another libc', '99.0.0', MUSL],
    ['with a pinned Node that lacks a library', '99.0.0', 'echo "libatomic.so.1: cannot open" >&2; exit 127'],
  ])('%s', async (_, version, program) => {
    await install(version, program)
    const { child, ended, lines } = start(['status', 'more'])
    expect(await ended).toEqual({ status: 7, signal: null })
    expect(lines).toEqual([
      {
        pid: child.pid,
        pinned: false,
        rest: ['more'],
        onPath: process.execPath,
        script: join(folder, 'script.js'),
      },
    ])
  })
})

describe('an old Node reports in one sentence what is missing', () => {
  it.each([
    ['the pinned one is not installed', undefined, '', /no Node for \w+-\w+ is installed with it/],
    [
      'the pinned one does not run',
      '99.0.0',
      'echo "no libatomic" >&2; exit 127',
      /does not run here \(no libatomic\)/,
    ],
  ])('when %s', async (_, version, program, why) => {
    await install(version, program)
    const { ended, lines, errors } = start([], [OLD])
    expect(await ended).toEqual({ status: 1, signal: null })
    expect(lines).toEqual([])
    expect(errors()).toMatch(
      /needs Node 22\.22 or newer; this is Node 18\.20\.8, and .*\nRun "npm ci" .*\n(?!.)/,
    )
    expect(errors()).toMatch(why)
  })
})

describe('package.json', () => {
  it.each(Object.entries(manifest.scripts))('starts "npm run %s" on the right Node', (_, command) => {
    for (const part of command.split(' && '))
      expect(part).toMatch(/^(node scripts\/require-node\.js [\w@./-]+\.?[jt]?s?|npm run [\w:-]+)( |$)/)
  })

  it('packs the launcher with the built command, which starts through it', () => {
    expect(manifest.files).toEqual(expect.arrayContaining(['scripts/right-node.js', manifest.bin.mintmark]))
    expect(statSync(join(root, manifest.bin.mintmark)).mode & 0o111).toBe(0o111)
  })

  it('has no scripts that npm skips when install scripts are disabled', () => {
    expect(
      Object.keys(manifest.scripts).filter(name => /^(pre|post)|^(prepare|install)$/.test(name)),
    ).toEqual([])
  })
})
