import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configurationTable } from '../src/cli/commands/config.ts'

/**
 * The README is executed: its `sh` blocks run in order in one shell beside a running quickstart, and each `json` or
 * `text` block that follows one is what must come out, line by line, `…` standing for anything.
 */
const root = new URL('..', import.meta.url).pathname
const readme = await readFile(join(root, 'README.md'), 'utf8')

interface Block {
  command: string
  expected: string[]
}

function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  const fences = /^```(\w+)\n([\s\S]*?)^```\n(?=(```(?:json|text)\n)?)/gm
  let follows = false
  for (const [, language, body = '', next] of markdown.matchAll(fences)) {
    if (language === 'sh') blocks.push({ command: body, expected: [] })
    else if (follows) blocks.at(-1)?.expected.push(...body.trim().split('\n'))
    follows = next !== undefined && (language === 'sh' || follows)
  }
  return blocks
}

const [install, ...steps] = blocksOf(readme)

let folder: string
let quickstart: ChildProcess
let ports: { public: number; admin: number; ops: number }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-readme-'))
  ports = { public: await freePort(), admin: await freePort(), ops: await freePort() }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  quickstart = spawn(process.execPath, [join(root, 'src/cli/main.ts'), 'quickstart'], {
    cwd: folder,
    env: {
      ...process.env,
      MINTMARK_PUBLIC_PORT: `${ports.public}`,
      MINTMARK_ADMIN_PORT: `${ports.admin}`,
      MINTMARK_OPS_PORT: `${ports.ops}`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await printed(quickstart, 'Serving until Ctrl-C.')
})

afterAll(async () => {
  quickstart.kill('SIGTERM')
  await new Promise(resolve => quickstart.once('exit', resolve))
  await rm(folder, { recursive: true, force: true })
})

describe('the README', () => {
  it('begins with the two commands that show Mintmark working', () => {
    expect(install).toEqual({ command: 'npm ci\nnpm run quickstart\n', expected: [] })
  })

  it('shows what its commands print', async () => {
    expect(steps.length).toBeGreaterThan(5)
    const outputs = await runAll(steps.map(step => step.command))
    for (const [index, step] of steps.entries()) {
      expect(outputs[index], step.command).toMatch(asPattern(step.expected))
    }
  })

  it('has the table of variables that the code prints', () => {
    const table = /<!-- configuration:.*-->\n([\s\S]*?)<!-- \/configuration -->/.exec(readme)?.[1]
    expect(table?.trim()).toBe(configurationTable())
  })

  it('links to files that exist', async () => {
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path = '']) => path)
    expect(links.length).toBeGreaterThan(0)
    for (const path of links)
      await expect(
        import('node:fs/promises').then(fs => fs.stat(join(root, path))),
        path,
      ).resolves.toBeTruthy()
  })
})

/** All commands in one shell, because they share variables; their outputs, apart. */
async function runAll(commands: string[]): Promise<string[]> {
  const mark = '---- end of a block ----'
  const script = commands
    .join(`echo; echo '${mark}'\n`)
    .replaceAll('localhost:8080', `localhost:${ports.public}`)
    .replaceAll('localhost:8081', `localhost:${ports.admin}`)
  const shell = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  shell.stdout.on('data', chunk => {
    text += chunk
  })
  const status = await new Promise(resolve => shell.once('exit', resolve))
  expect(status, text).toBe(0)
  return text.split(mark)
}

/** Lines in this order, anything between them, `…` for anything within a line; ports as the README has them. */
function asPattern(lines: string[]): RegExp {
  const patterns = lines.map(line =>
    line
      .trim()
      .replaceAll('localhost:8080', `localhost:${ports.public}`)
      .split('…')
      .map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*'),
  )
  return new RegExp(patterns.join('[\\s\\S]*'))
}

function printed(child: ChildProcess, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout?.on('data', chunk => {
      text += chunk
      if (text.includes(line)) resolve()
    })
    child.once('exit', () => reject(new Error(`the quickstart ended:\n${text}`)))
  })
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
