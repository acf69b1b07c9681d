import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestService } from '../support/test-service.ts'

/** clients/typescript as others get it: built, in somebody's node_modules. */
const run = promisify(execFile)
const root = new URL('../../', import.meta.url).pathname
const tsc = join(root, 'node_modules/typescript/bin/tsc')
let project: string

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'mintmark-client-'))
  const installed = join(project, 'node_modules/mintmark-client')
  await mkdir(installed, { recursive: true })
  await cp(join(root, 'clients/typescript/package.json'), join(installed, 'package.json'))
  const dist = join(installed, 'dist')
  await run(process.execPath, [tsc, '-p', join(root, 'clients/typescript'), '--outDir', dist])
  await symlink(join(root, 'node_modules/openai'), join(project, 'node_modules/openai'))
  await writeFile(join(project, 'package.json'), '{"type":"module"}')
})
afterAll(() => rm(project, { recursive: true }))

it('needs no other package', async () => {
  const described = JSON.parse(await readFile(join(root, 'clients/typescript/package.json'), 'utf8'))
  expect(described).not.toHaveProperty('dependencies')
})

it('gives a token in plain JavaScript', async () => {
  const mintmark = await startTestService()
  const { secret } = await mintmark.tenantWithKey()
  const issuer = mintmark.service.urls.public
  const script = `import { tokenProvider } from 'mintmark-client'
    const apiKey = process.env.KEY
    console.log(await tokenProvider({ issuer: ${JSON.stringify(issuer)}, apiKey })())`
  const env = { ...process.env, KEY: secret }
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: project, env })
  await mintmark.stop()
  expect(stdout).toMatch(/^eyJ[\w-]+\.[\w-]+\.[\w-]+\n$/)
})

it('has types, which fit those of the openai package', async () => {
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
  const options = '--noEmit --strict --target es2022 --module nodenext --lib es2024,dom --types'.split(' ')
  const { stdout } = await run(process.execPath, [tsc, ...options, '', '--skipLibCheck', 'program.ts'], {
    cwd: project,
  }).catch(error => error)
  expect(stdout).toBe('')
})
