import { readFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf, mintmark, mintmarkProcess, type Outcome, shell } from './mintmark.ts'

/** An unused port. */
const closed = await freePort()

let service: TestService
let cli: ReturnType<typeof cliOf>
/** A read and a change that nothing answers. They take ten seconds, so they begin with the file. */
let unanswered: Promise<[Outcome, Outcome]>

beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  await service.admin('POST', '/tenants', { id: 'acme' })
  unanswered = Promise.all([against(() => {}), against(() => {}, ['tenant', 'suspend', 'acme'])])
})
afterAll(() => service.stop())

describe('0, ok:', () => {
  it('--version prints the version of the package', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
    expect(await mintmarkProcess(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  it.each([[['help', 'tenant']], [['tenant', '--help']]])('%j prints help to standard output', async args => {
    expect(await mintmark(args)).toEqual({
      code: 0,
      stdout: expect.stringContaining('Usage: mintmark tenant'),
      stderr: '',
    })
  })
})

describe('2, usage:', () => {
  it.each([
    ['no command', [], 'Usage: mintmark'],
    ['no verb', ['tenant'], 'Usage: mintmark tenant'],
    ['an unknown command', ['tennant'], '(Did you mean tenant?)'],
    ['an unknown verb', ['tenant', 'polish', 'acme'], 'unknown command'],
    ['a verb of other command lines', ['key', 'rm', 'x'], 'Did you mean "mintmark key revoke"?'],
    ['an option of other command lines', ['tenant', 'list', '--json'], '(Did you mean -o json?)'],
    ['an unknown option', ['tenant', 'list', '--limits', '3'], '(Did you mean --limit?)'],
    ['a missing argument', ['tenant', 'get'], "missing required argument 'tenant'"],
    ['too many arguments', ['tenant', 'get', 'a', 'b'], 'too many arguments'],
    ['a missing option', ['tier', 'set', 'gold'], '--priority'],
    ['a number that is none', ['tenant', 'list', '--limit', 'many'], 'whole number'],
    ['a limit of nothing', ['tenant', 'list', '--limit', '0'], '1 or more'],
    ['an unknown format', ['tenant', 'list', '-o', 'xml'], 'table, json, yaml, name'],
    ['--field with -o', ['tenant', 'list', '--field', 'id', '-o', 'json'], 'cannot be used with'],
    ['-q with -o', ['tenant', 'list', '-q', '-o', 'json'], 'cannot be used with'],
    ['a setting that cannot be unset', ['tenant', 'update', 'acme', '--unset', 'tier'], 'Allowed choices'],
    ['nothing to change', ['tenant', 'update', 'acme'], 'nothing to change'],
    [
      'options that contradict',
      ['tenant', 'update', 'acme', '--model', 'x', '--unset', 'models'],
      'conflicts with',
    ],
    [
      'two things to revoke',
      ['token', 'revoke', '--jti', 'AAAAAAAAAAAAAAAAAAAAAA', '--tenant', 'acme', '--yes'],
      'name what to revoke: one of',
    ],
    ['a label without a value', ['tenant', 'create', 'x', '--label', 'team'], 'name=value'],
    [
      'a day that the month does not have',
      ['emergency', 'extend', '--until', '2026-11-31T00:00:00Z', '--reason', 'x'],
      'It must be a time like',
    ],
    ['an empty id', ['tenant', 'get', ''], '"" is not a name or id'],
    ['an id that is a path', ['tenant', 'delete', '..'], '".." is not a name or id'],
    [
      'a missing key file',
      ['token', 'get', '--key-file', '/nowhere'],
      '/nowhere cannot be read: it does not exist (ENOENT)',
    ],
  ])('%s', async (_, args, words) => {
    const ended = await cli.attempt(args)
    expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(words) })
  })

  it('points to the help of the command', async () => {
    const { stderr } = await cli.attempt(['key', 'list', '--nonsense'])
    expect(stderr).toBe('mintmark: unknown option \'--nonsense\'\nRun "mintmark key list --help".\n')
  })

  it.each([
    ['MINTMARK_URL', 'localhost:8081', 'must be a URL like'],
    ['MINTMARK_URL', 'http://user:pass@127.0.0.1:8081', 'must not contain a user or password'],
    ['MINTMARK_URL', 'http://127.0.0.1:8081/?a=b', 'must be a base URL'],
    ['MINTMARK_TOKEN', 'hid den', 'must be one word of printable ASCII'],
    ['MINTMARK_TOKEN_FILE', '/nowhere', 'unset one of them'],
    ['MINTMARK_ADMIN_TOKEN', 'hid den', 'must be one word of printable ASCII'],
  ])('a variable that is not what it should be: %s=%s', async (name, value, words) => {
    const ended = await mintmark(['tenant', 'list'], { env: { ...cli.env, [name]: value } })
    expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(words) })
    expect(ended.stderr).not.toContain('hid den')
    expect(ended.stderr).not.toContain('pass@')
  })
})

describe('3, refused:', () => {
  it('no admin token', async () => {
    const env = { MINTMARK_URL: service.service.urls.admin }
    const ended = await mintmarkProcess(['tenant', 'list'], { env })
    expect(ended).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(
        'run "mintmark login", or set MINTMARK_ADMIN_TOKEN, or MINTMARK_ADMIN_TOKEN_FILE',
      ),
    })
  })

  it('no admin token in the folder of a trial: the message names the file that has one', async () => {
    const trial = 'cd "$(mktemp -d)" && mkdir keys && touch keys/root-token && mintmark tenant list'
    expect(await shell(trial)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('export MINTMARK_ADMIN_TOKEN_FILE=keys/root-token'),
    })
  })

  it('an invalid token, without repeating it', async () => {
    const ended = await mintmark(['tenant', 'list'], {
      env: { ...cli.env, MINTMARK_TOKEN: 'wrong-wrong-wrong' },
    })
    expect(ended).toEqual({
      code: 3,
      stdout: '',
      stderr:
        'mintmark: Invalid token. It may be expired or revoked: create a new one.\n  Run "mintmark login", or check MINTMARK_ADMIN_TOKEN or the file in MINTMARK_ADMIN_TOKEN_FILE.\n',
    })
  })

  it('a token without the right (403)', async () => {
    const forbidden = problem(403, {
      code: 'forbidden',
      detail: 'Missing right: keys:write. Use a token with a role that has it.',
    })
    expect(await against(forbidden)).toMatchObject({
      code: 3,
      stderr: 'mintmark: Missing right: keys:write. Use a token with a role that has it.\n',
    })
  })
})

describe('4, not found:', () => {
  it.each([
    ['a tenant', ['tenant', 'get', 'nobody'], 'Unknown tenant: "nobody".'],
    ['the tenant of a new key', ['key', 'create', 'nobody'], 'Unknown tenant: "nobody".'],
    ['a key', ['key', 'revoke', 'key_0000000000000000'], 'Unknown key: "key_0000000000000000".'],
    ['a model', ['model', 'get', 'a/b'], 'a/b'],
  ])('%s', async (_, args, words) => {
    expect(await cli.attempt(args)).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringContaining(words),
    })
  })
})

describe('5, conflict or invalid:', () => {
  it('an id that is in use', async () => {
    const ended = await cli.attempt(['tenant', 'create', 'acme'])
    expect(ended).toEqual({ code: 5, stdout: '', stderr: 'mintmark: A tenant "acme" already exists.\n' })
  })

  it('invalid fields, each under its option and its pointer', async () => {
    const options = [
      '--tier',
      'gold',
      '--allow-tier',
      'gold',
      '--adapter',
      'nope',
      '--token-ttl-seconds',
      '5',
      '--label',
      '-=x',
    ]
    const { code, stdout, stderr } = await cli.attempt(['tenant', 'create', 'Not An Id', ...options])
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' })
    expect(stderr).toContain('mintmark: the service rejected the request as invalid:\n')
    expect(stderr).toMatch(/^ {2}<tenant> \(\/id\) must be 1 to 63 characters of /m)
    expect(stderr).toMatch(
      /^ {2}--token-ttl-seconds \(\/token_ttl_seconds\) must be a whole number from 60 to 3600$/m,
    )
    expect(stderr).toMatch(/^ {2}--label \(\/labels/m)
  })

  it('entries of a list, and nulls of --unset and --expires-at', async () => {
    const tenant = await cli.attempt([
      'tenant',
      'create',
      'x',
      '--allow-tier',
      'standard',
      '--allow-tier',
      'gold',
    ])
    expect(tenant.stderr).toContain(
      '--allow-tier (/allowed_tiers/1) names a tier that is not registered: "gold"',
    )
    const key = await cli.attempt(['key', 'create', 'acme', '--expires-at', 'never'])
    expect(key).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('--expires-at (/expires_at) must not be null'),
    })
  })

  it('a name that a path cannot contain', async () => {
    const ended = await cli.attempt(['model', 'set', 'two words'])
    expect(ended).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('Invalid name in the path: it must be letters, digits'),
    })
  })
})

describe('6, unavailable:', () => {
  it.each([
    [
      'no server',
      `http://127.0.0.1:${closed}`,
      `no connection to http://127.0.0.1:${closed} (ECONNREFUSED). Check that the service runs, and MINTMARK_URL.`,
    ],
    [
      'the host has no address',
      'http://no-such-host.invalid',
      'the host of http://no-such-host.invalid has no address',
    ],
  ])('%s', async (_, url, words) => {
    const ended = await mintmark(['tenant', 'list'], { env: { ...cli.env, MINTMARK_URL: url } })
    expect(ended).toMatchObject({ code: 6, stdout: '', stderr: expect.stringContaining(words) })
  })

  it.each([
    [503, 'unavailable', 'The service is not ready. Retry.'],
    [429, 'too_many_requests', 'Too many changes. Retry later.'],
  ])('the service says so: %i %s', async (status, code, detail) => {
    expect(await against(problem(status, { code, detail }))).toMatchObject({
      code: 6,
      stderr: expect.stringContaining(detail),
    })
  })

  it('a proxy reports it', async () => {
    const gateway: RequestListener = (_req, res) => void res.writeHead(502).end('<h1>Bad Gateway</h1>')
    expect(await against(gateway)).toMatchObject({ code: 6, stderr: expect.stringContaining('answers 502') })
  })

  it.each([
    [502, ['tenant', 'suspend', 'acme'], true],
    [504, ['tenant', 'suspend', 'acme'], true],
    [503, ['tenant', 'suspend', 'acme'], false],
    [429, ['tenant', 'suspend', 'acme'], false],
    [502, ['tenant', 'list'], false],
  ])(
    'a proxy answers %i to %j: whether a change may have been made is said (%s)',
    async (status, args, isUnknown) => {
      const { code, stderr } = await against(
        (_req, res) => void res.writeHead(status).end('<h1>nginx</h1>'),
        args,
      )
      expect({ code, isSaid: stderr.includes('It is unknown whether the change was made') }).toEqual({
        code: 6,
        isSaid: isUnknown,
      })
    },
  )

  it('a proxy asks for a password (407), which fetch hides', async () => {
    const proxy: RequestListener = (_req, res) => void res.writeHead(407).end()
    expect(await against(proxy)).toMatchObject({ code: 6, stderr: expect.stringContaining('password (407)') })
  })

  it('no answer within ten seconds, and a change may have been made', async () => {
    const [read, write] = await unanswered
    for (const { code, stderr } of [read, write]) {
      expect({ code, stderr }).toMatchObject({
        code: 6,
        stderr: expect.stringContaining('did not answer within 10 seconds'),
      })
    }
    expect(read.stderr).not.toContain('check before you retry')
    expect(write.stderr).toContain('It is unknown whether the change was made: check before you retry.')
  })

  it.each(['destroy', 'resetAndDestroy'] as const)('the connection breaks off: %s', async end => {
    const ended = await against((req, _res) => void req.socket[end](), ['tenant', 'suspend', 'acme'])
    expect(ended).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('It is unknown whether the change was made'),
    })
  })
})

describe('1, a fault:', () => {
  it('of the service, with the request id of its log', async () => {
    const fault = problem(500, {
      code: 'internal',
      detail: 'Internal error. The log of the service has the cause.',
      request_id: 'req-7',
    })
    expect(await against(fault)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('request id: req-7'),
    })
  })

  it('another server answers', async () => {
    const other: RequestListener = (_req, res) =>
      void res.writeHead(200, { 'Content-Type': 'application/json' }).end('{"ok":1}')
    expect(await against(other)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not the admin listener of Mintmark'),
    })
    const listener = await mintmark(['tenant', 'list'], {
      env: { ...cli.env, MINTMARK_URL: service.service.urls.public },
    })
    expect(listener).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not the admin listener of Mintmark'),
    })
    const env = { ...cli.env, MINTMARK_PUBLIC_URL: service.service.urls.ops, MINTMARK_API_KEY: 'mmk_x' }
    expect(await mintmark(['token', 'get'], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not the public listener'),
    })
  })

  it.each([
    ['no content', 204, undefined],
    ['null', 200, 'null'],
    ['a list of words', 200, '{"data":["a",null],"next_cursor":null}'],
    ['an error page of a proxy', 403, '<html>'],
  ])('another server answers: %s', async (_, status, text) => {
    const other: RequestListener = (_req, res) =>
      void res
        .writeHead(status, { 'Content-Type': text?.startsWith('<') ? 'text/html' : 'application/json' })
        .end(text)
    const { code, stderr } = await against(other)
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not the admin listener'),
    })
    expect(stderr).not.toContain('    at ')
    if (status === 403) expect(stderr).toContain('(it answers 403 with text/html)')
  })

  it('a service without this route, of another version or below a path, is not "not found"', async () => {
    const env = { ...cli.env, MINTMARK_URL: `${service.service.urls.admin}/admin/v1` }
    expect(await mintmark(['tenant', 'get', 'acme'], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /does not know GET \/admin\/v1\/tenants\/acme\.\n.*older.*MINTMARK_URL has a path/,
      ),
    })
  })

  it('a redirect, which would send the token elsewhere', async () => {
    const seen: string[] = []
    const elsewhere: RequestListener = (req, res) => {
      seen.push(String(req.url))
      res.writeHead(307, { Location: '/elsewhere' }).end()
    }
    expect(await against(elsewhere)).toMatchObject({ code: 1, stderr: expect.stringContaining('redirect') })
    expect(seen).toEqual(['/admin/v1/tenants?limit=100'])
  })
})

/** Runs a command against a fake server. */
async function against(listener: RequestListener, args = ['tenant', 'list']) {
  const server: Server = createServer(listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const ended = await mintmark(args, {
    env: { MINTMARK_URL: `http://127.0.0.1:${port}`, MINTMARK_TOKEN: 'anything' },
  })
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
  return ended
}

function problem(status: number, members: object): RequestListener {
  return (_req, res) => {
    res.writeHead(status, { 'Content-Type': 'application/problem+json' })
    res.end(JSON.stringify({ status, ...members }))
  }
}
