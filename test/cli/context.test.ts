import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsProxy } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { makeAuthority, makeCertificate } from '../support/certificates.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { mintmark, mintmarkProcess } from './mintmark.ts'
import { atTerminal } from './terminal-streams.ts'

let service: TestService
let url: string
beforeAll(async () => {
  service = await startTestService()
  url = service.service.urls.admin
})
afterAll(() => service.stop())

let home: string
let env: Record<string, string>
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'mintmark-home-'))
  env = { HOME: home }
})

const folder = () => join(home, '.config', 'mintmark')
const tokenFile = (name: string) => join(folder(), `${name}.token`)
const login = (...args: string[]) => mintmark(['login', ...args], { env, input: `${service.rootToken}\n` })
const run = (...args: string[]) => mintmark(args, { env })

describe('mintmark login', () => {
  it('reads the token from standard input, and stores it for the owner of the file only', async () => {
    expect(await login(url)).toEqual({
      code: 0,
      stdout: '',
      stderr: `Logged in to ${url} as root (root). The context is "127.0.0.1".\n`,
    })
    expect(statSync(tokenFile('127.0.0.1')).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder(), 'contexts.json')).mode & 0o777).toBe(0o600)
    expect(statSync(folder()).mode & 0o777).toBe(0o700)
    expect(readFileSync(tokenFile('127.0.0.1'), 'utf8')).toBe(`${service.rootToken}\n`)
    expect(readFileSync(join(folder(), 'contexts.json'), 'utf8')).not.toContain(service.rootToken)
    expect(await run('tenant', 'list')).toMatchObject({ code: 0 })
  })

  it('asks on a terminal, and shows nothing of the token', async () => {
    const ended = await atTerminal(['login', url, '--context', 'lab'], { env, typed: [service.rootToken] })
    expect(ended).toMatchObject({ code: 0, stdout: '' })
    expect(ended.stderr).toContain('Admin token (not shown): ')
    expect(ended.stderr).not.toContain(service.rootToken)
    expect(existsSync(tokenFile('lab'))).toBe(true)
  })

  it('stores nothing when the server rejects the token', async () => {
    const ended = await mintmark(['login', url], { env, input: 'mma_wrong\n' })
    expect(ended).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('Invalid token') })
    expect(existsSync(folder())).toBe(false)
  })

  it('takes a command in place of a stored token', async () => {
    const secret = join(home, 'vault')
    writeFileSync(secret, `${service.rootToken}\nsecond line\n`)
    await login(url, '--context', 'vault')
    expect(readdirSync(folder())).toContain('vault.token')
    const ended = await run('login', url, '--context', 'vault', '--token-command', `cat ${secret}`)
    expect(ended).toMatchObject({ code: 0 })
    expect(readdirSync(folder())).toEqual(['contexts.json'])
    expect(await run('whoami', '--field', 'role')).toMatchObject({ code: 0, stdout: 'root\n' })
    writeFileSync(secret, '')
    expect(await run('whoami')).toMatchObject({
      code: 3,
      stderr: `mintmark: the command for the token failed (it printed nothing): cat ${secret}\n`,
    })
  })

  it.each([
    [['not-a-url'], '<url> must be a URL like'],
    [['http://u:p@127.0.0.1'], '<url> must not contain a user or password'],
    [['http://127.0.0.1', '--context', '../x'], '--context must be 1 to 63'],
    [['http://127.0.0.1', '--ca-file', '/nowhere'], '/nowhere cannot be used (ENOENT)'],
  ])('%j is a fault', async (args, words) => {
    expect(await login(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(words) })
    expect(existsSync(folder())).toBe(false)
  })

  it('without HOME says that there is no place', async () => {
    const ended = await mintmark(['login', url], { input: service.rootToken })
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('set HOME or XDG_CONFIG_HOME') })
  })
})

describe('mintmark whoami', () => {
  it('shows the server and the caller as the service sees it', async () => {
    await login(url, '--context', 'lab')
    const shown = JSON.parse((await run('whoami', '-o', 'json')).stdout)
    expect(shown).toMatchObject({
      context: 'lab',
      server: url,
      server_from: 'the context "lab"',
      token_from: 'the context "lab"',
      id: 'root',
      role: 'root',
      tenant: null,
      expires_at: null,
      rights: expect.arrayContaining(['keys:write', 'installation:write']),
      installation: { issuer: expect.stringMatching(/^http/) },
    })
  })

  it('shows a tenant-admin its tenant and expiry', async () => {
    await service.admin('POST', '/tenants', { id: 'acme' })
    const made = (await service.admin('POST', '/admin-tokens', { role: 'tenant-admin', tenant: 'acme' })).body
    const own = { MINTMARK_URL: url, MINTMARK_ADMIN_TOKEN: made.secret }
    const shown = JSON.parse((await mintmark(['whoami', '-o', 'json'], { env: own })).stdout)
    expect(shown).toMatchObject({
      context: null,
      server_from: 'MINTMARK_URL',
      token_from: 'MINTMARK_ADMIN_TOKEN',
      id: made.id,
      role: 'tenant-admin',
      tenant: 'acme',
      expires_at: made.expires_at,
    })
    expect(shown.rights).not.toContain('tenants:write')
  })
})

describe('a context', () => {
  it('gives way to variables', async () => {
    await login(url, '--context', 'lab')
    const other = { ...env, MINTMARK_ADMIN_TOKEN: 'mma_wrong' }
    for (const named of [{ MINTMARK_URL: url }, { MINTMARK_CONTEXT: 'lab' }])
      expect(await mintmark(['tenant', 'list'], { env: { ...other, ...named } })).toMatchObject({
        code: 3,
        stderr: expect.stringContaining('Invalid token'),
      })
  })

  it.each(['MINTMARK_ADMIN_TOKEN', 'MINTMARK_TOKEN'])(
    'does not get the token of %s only because it is the current one',
    async variable => {
      await login(url, '--context', 'lab')
      for (const command of [['tenant', 'list'], ['whoami'], ['doctor']]) {
        const ended = await mintmark(command, { env: { ...env, [variable]: service.rootToken } })
        expect(ended, command.join(' ')).toMatchObject({
          code: 2,
          stdout: '',
          stderr: expect.stringContaining(
            `${variable} is set without a server, and the current context "lab" is for ${url}`,
          ),
        })
        expect(ended.stderr).toContain('MINTMARK_CONTEXT=lab')
        expect(ended.stderr).not.toContain(service.rootToken)
      }
    },
  )

  it('never sends its token to the server of MINTMARK_URL', async () => {
    await login(url, '--context', 'lab')
    const seen: (string | undefined)[] = []
    const server = createServer((req, res) => {
      seen.push(req.headers.authorization)
      res.writeHead(401).end()
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const elsewhere = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const ended = await mintmark(['tenant', 'list'], { env: { ...env, MINTMARK_URL: elsewhere } })
    await new Promise(resolve => server.close(resolve))
    expect(ended).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(`The token of the context "lab" is for ${url}`),
    })
    expect(seen).toEqual([])
  })

  it('is selected, listed and deleted', async () => {
    await login(url, '--context', 'one')
    await login(url, '--context', 'two', '--public-url', 'http://127.0.0.1:1')
    const rows = (await run('context', 'list')).stdout.trimEnd().split('\n')
    expect(rows.map(row => row.split(/ {2,}/))).toEqual([
      ['', 'NAME', 'URL', 'PUBLIC URL', 'TOKEN'],
      ['', 'one', url, '-', 'stored'],
      ['*', 'two', url, 'http://127.0.0.1:1', 'stored'],
    ])
    expect(await run('context', 'use', 'one')).toMatchObject({
      code: 0,
      stderr: `Commands use ${url} from now on.\n`,
    })
    expect((await run('whoami', '--field', 'context')).stdout).toBe('one\n')
    const shell = { ...env, MINTMARK_CONTEXT: 'two' }
    expect((await mintmark(['whoami', '--field', 'context'], { env: shell })).stdout).toBe('two\n')
    expect(await run('context', 'rm', 'one')).toMatchObject({
      code: 0,
      stderr: 'Deleted the context "one".\n',
    })
    expect(existsSync(tokenFile('one'))).toBe(false)
    expect(await run('tenant', 'list')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('no admin token'),
    })
    expect(await run('context', 'use', 'one')).toMatchObject({ code: 4 })
    const gone = { ...env, MINTMARK_CONTEXT: 'one' }
    expect(await mintmark(['whoami'], { env: gone })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no context "one"'),
    })
  })

  it('is not read when other users could have read the token, or written the URL', async () => {
    await login(url, '--context', 'lab')
    chmodSync(tokenFile('lab'), 0o644)
    expect(await run('whoami')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`chmod 600 ${tokenFile('lab')}`),
    })
    chmodSync(tokenFile('lab'), 0o600)
    chmodSync(join(folder(), 'contexts.json'), 0o666)
    expect(await run('whoami')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('open to other users'),
    })
    chmodSync(join(folder(), 'contexts.json'), 0o600)
    chmodSync(folder(), 0o770)
    expect(await run('whoami')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(
        `${folder()} is open to other users of this machine: chmod 700 ${folder()}`,
      ),
    })
    chmodSync(folder(), 0o750)
    expect(await run('whoami')).toMatchObject({ code: 0 })
  })

  const NOT_ROOT = process.getuid?.() !== 0
  it.skipIf(NOT_ROOT)('is not read when it is of another user', async () => {
    await login(url, '--context', 'lab')
    for (const path of [join(folder(), 'contexts.json'), tokenFile('lab'), folder()]) {
      chownSync(path, 65_534, 65_534)
      expect(await run('whoami'), path).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`${path} belongs to another user`),
      })
      chownSync(path, 0, 0)
    }
    expect(await run('whoami')).toMatchObject({ code: 0 })
  })

  it('that is damaged says so', async () => {
    await login(url)
    writeFileSync(join(folder(), 'contexts.json'), '{"current":1}')
    expect(await run('whoami')).toMatchObject({ code: 2, stderr: expect.stringContaining('is damaged') })
  })

  it('without a public URL does not send a key to this machine', async () => {
    await login(url, '--context', 'lab')
    const ended = await mintmark(['token', 'get'], { env, input: 'mmk_x' })
    expect(ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('the context "lab" has no public URL'),
    })
    await login(url, '--context', 'lab', '--public-url', service.service.urls.public)
    await service.admin('POST', '/tenants', { id: 'public' })
    const key = (await service.admin('POST', '/tenants/public/keys', {})).body.secret
    expect(await mintmark(['token', 'get'], { env, input: key })).toMatchObject({ code: 0 })
  })

  it('trusts the certificate authorities of its file', async () => {
    const authority = makeAuthority('test authority')
    const { certificate, key } = makeCertificate(authority, {
      name: 'localhost',
      authorityName: 'test authority',
      dnsNames: ['localhost'],
    })
    const proxy = createTlsProxy({ cert: certificate, key }, socket => {
      const { port } = new URL(url)
      socket.pipe(connect(Number(port), '127.0.0.1')).pipe(socket)
    })
    await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
    const secure = `https://localhost:${(proxy.address() as AddressInfo).port}`
    const [trusted, wrong] = [join(home, 'ca.pem'), join(home, 'wrong.pem')]
    writeFileSync(trusted, authority.certificate)
    writeFileSync(wrong, 'no certificate')
    // In processes of their own: a process trusts an authority until it ends.
    const start = (...args: string[]) => mintmarkProcess(args, { env, input: service.rootToken })
    expect(await start('login', secure)).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('was not accepted'),
    })
    expect(await start('login', secure, '--ca-file', wrong)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('it has no certificate'),
    })
    expect(await start('login', secure, '--ca-file', trusted)).toMatchObject({ code: 0 })
    expect(await start('whoami', '--field', 'server')).toMatchObject({ code: 0, stdout: `${secure}\n` })
    await new Promise(resolve => proxy.close(resolve))
  })

  it('ignores a relative XDG_CONFIG_HOME, as its specification says', async () => {
    env = { ...env, XDG_CONFIG_HOME: 'relative' }
    await login(url)
    expect(existsSync(tokenFile('127.0.0.1'))).toBe(true)
    expect(await run('whoami', '--field', 'role')).toMatchObject({ code: 0, stdout: 'root\n' })
  })

  it('follows XDG_CONFIG_HOME', async () => {
    env = { ...env, XDG_CONFIG_HOME: join(home, 'xdg') }
    await login(url)
    expect(readdirSync(join(home, 'xdg', 'mintmark')).toSorted()).toEqual([
      '127.0.0.1.token',
      'contexts.json',
    ])
  })
})
