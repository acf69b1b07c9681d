import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configurationTable } from '../src/cli/commands/config.ts'
import { CLAIM_HEADERS } from '../src/gateway/headers.ts'
import { freePort } from './support/free-port.ts'
import { asPattern, blocksOf, readReadme, repository, runAll } from './support/readme.ts'

const readme = await readReadme()
const configuration = await readFile(join(repository, 'docs/configuration.md'), 'utf8')
const [install, ...steps] = blocksOf(readme, 'sh')

let folder: string
let quickstart: ChildProcess
let ports: { public: number; admin: number; gateway: number; ops: number }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-readme-'))
  // As root the database runs as another user, which would otherwise get a folder elsewhere.
  await chmod(folder, 0o755)
  ports = {
    public: await freePort(),
    admin: await freePort(),
    gateway: await freePort(),
    ops: await freePort(),
  }
  quickstart = spawn(process.execPath, [join(repository, 'src/cli/main.ts'), 'quickstart'], {
    cwd: folder,
    env: {
      ...process.env,
      MINTMARK_PUBLIC_PORT: `${ports.public}`,
      MINTMARK_ADMIN_PORT: `${ports.admin}`,
      MINTMARK_GATEWAY_PORT: `${ports.gateway}`,
      MINTMARK_GATEWAY_GRPC_PORT: '0',
      MINTMARK_OPS_PORT: `${ports.ops}`,
      MINTMARK_DRAIN_DELAY_SECONDS: '0',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
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
    const outputs = await runAll(
      steps.map(step => here(step.command)),
      { cwd: folder },
    )
    for (const [index, step] of steps.entries()) {
      expect(outputs[index], step.command).toMatch(asPattern(step.expected.map(here)))
    }
  })

  it('links to the table of variables, which is what the code prints', () => {
    const table = /<!-- configuration:.*-->\n([\s\S]*?)<!-- \/configuration -->/.exec(configuration)?.[1]
    expect(table?.trim()).toBe(configurationTable())
  })

  it.each(CLAIM_HEADERS.map(({ claim, header }) => [header, claim]))(
    'names %s, which the gateway sets from %s',
    header => {
      expect(readme).toContain(`\`${header}\``)
    },
  )
})

/** The ports of this run in place of those in the README. */
const here = (text: string) =>
  text
    .replaceAll('localhost:8080', `localhost:${ports.public}`)
    .replaceAll('localhost:8081', `localhost:${ports.admin}`)

function printed(child: ChildProcess, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = ''
    let errors = ''
    child.stdout?.on('data', chunk => {
      text += chunk
      if (text.includes(line)) resolve()
    })
    child.stderr?.on('data', chunk => {
      errors += chunk
    })
    child.once('close', () => reject(new Error(`the quickstart ended: ${errors.trim()}\n${text}`)))
  })
}
