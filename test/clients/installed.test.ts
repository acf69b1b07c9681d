import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noEnvoy } from '../gateway-configs/envoy.ts'
import { readReadme } from '../support/readme.ts'
import { startTestService } from '../support/test-service.ts'
import { type Gateway, startGateway } from './gateway.ts'
import { lacksPython, python } from './python.ts'

/** The clients as users install them: clients/typescript packed, in node_modules next to the openai package. */
const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const readme = await readReadme()
let project: string

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'mintmark-client-'))
  const installed = join(project, 'node_modules/mintmark-client')
  await mkdir(installed, { recursive: true })
  // Our own npm scripts run with those of dependencies disabled, and pass that on.
  const packing = ['pack', '--pack-destination', project, '--silent', '--ignore-scripts=false']
  const { stdout } = await run('npm', packing, { cwd: join(root, 'clients/typescript') })
  await run('tar', ['-xzf', join(project, stdout.trim()), '--strip-components=1', '-C', installed])
  await symlink(join(root, 'node_modules/openai'), join(project, 'node_modules/openai'))
  await writeFile(join(project, 'package.json'), '{"type":"module"}')
})
afterAll(() => rm(project, { recursive: true }))

const runInProject = (program: string, args: string[], env: Record<string, string> = {}) =>
  run(program, args, { cwd: project, env: { ...process.env, ...env } })

describe('the package of clients/typescript', () => {
  it('needs no other', async () => {
    const described = JSON.parse(await readFile(join(root, 'clients/typescript/package.json'), 'utf8'))
    expect(described).not.toHaveProperty('dependencies')
  })

  it('returns a token in plain JavaScript', async () => {
    const mintmark = await startTestService()
    const { secret } = await mintmark.tenantWithKey()
    const script = `import { tokenProvider } from 'mintmark-client'
      const { ISSUER: issuer, KEY: apiKey } = process.env
      console.log(await tokenProvider({ issuer, apiKey })())`
    const env = { ISSUER: mintmark.service.urls.public, KEY: secret }
    const { stdout } = await runInProject(process.execPath, ['--input-type=module', '-e', script], env)
    await mintmark.stop()
    expect(stdout).toMatch(/^eyJ[\w-]+\.[\w-]+\.[\w-]+\n$/)
  })

  it('has types that match those of the openai package', async () => {
    const program = `import OpenAI from 'openai'
      import { TokenError, tokenProvider } from 'mintmark-client'
      const apiKey = tokenProvider({ issuer: 'https://tokens.example.com', apiKey: async () => 'mmk_' })
      new OpenAI({ apiKey, fetch: apiKey.fetch })
      export const temporary: boolean = (undefined as unknown as TokenError).temporary
      // @ts-expect-error: neither is any
      tokenProvider({ issuer: 'https://tokens.example.com', apiKey: 'mmk_', clock: 5 })
      // @ts-expect-error
      new TokenError(5)`
    await writeFile(join(project, 'program.ts'), program)
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const options = '--noEmit --strict --target es2022 --module nodenext --lib es2024,dom --skipLibCheck'
    const args = [tsc, ...options.split(' '), '--types', '', 'program.ts']
    const { stdout } = await runInProject(process.execPath, args).catch(error => error)
    expect(stdout).toBe('')
  })
})

describe.skipIf(noEnvoy)('the README on OpenAI clients, except for its two addresses', () => {
  let gateway: Gateway
  beforeAll(async () => {
    gateway = await startGateway()
  })
  afterAll(() => gateway.stop())

  it.each([
    ['js', () => process.execPath],
    ['python', () => python],
  ])('is right in %s', async (language, program) => {
    if (language === 'python' && lacksPython()) return
    const [, snippet = ''] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(readme) ?? []
    const here = snippet
      .replace('https://tokens.example.com', gateway.tokenService.url)
      .replace('https://inference.example.com/v1', gateway.baseURL)
    await writeFile(join(project, `snippet.${language}`), here)
    const { tenantId, secret } = await gateway.tenant()
    gateway.upstream.forget()
    await runInProject(program(), [`snippet.${language}`], {
      MINTMARK_API_KEY: secret,
      PYTHONPATH: join(root, 'clients/python'),
    })
    expect(gateway.upstream.theRequest().headers).toMatchObject({ 'x-tenant-id': tenantId })
  })
})
