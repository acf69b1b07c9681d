import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../../support/test-service.ts'
import { until } from '../../support/until.ts'
import { mintmark } from '../mintmark.ts'
import {
  type Answer,
  Objects,
  type Recorded,
  type RecordingServer,
  recordingServer,
  status,
} from '../sync/recording-servers.ts'
import { applying } from './applying.ts'

/** Secrets of keys go into a file or a Kubernetes Secret and nowhere else, and a rotation loses no request. */

let service: TestService
let at: ReturnType<typeof applying>
let api: RecordingServer
let objects: Objects
let refuse: (request: Recorded) => Answer | undefined
let kubeconfig: string
let folder: string
const output: string[] = []

beforeAll(async () => {
  service = await startTestService()
  at = applying(service)
  api = await recordingServer(request => refuse(request) ?? objects.answer(request))
  kubeconfig = join(at.folder, 'kubeconfig')
  writeFileSync(kubeconfig, JSON.stringify(config(api.url)))
})
afterAll(async () => {
  await api.stop()
  await service.stop()
})
let count = 0
let tenant: string
beforeEach(() => {
  objects = new Objects()
  refuse = () => undefined
  tenant = `team-${++count}`
  folder = join(at.folder, tenant)
})

const config = (server: string) => ({
  'current-context': 'c',
  contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  clusters: [{ name: 'c', cluster: { server } }],
  users: [{ name: 'u', user: { token: 'kube' } }],
})
const withFile = (more = '') =>
  `resource: set\nname: ${tenant}\n---\nresource: tenant\nid: ${tenant}\n---\nresource: key\ntenant: ${tenant}\nname: ci\nwrite_secret:\n  file: ${tenant}/ci/api.key\n${more}`
const withSecret = (namespace = 'prod') =>
  `resource: set\nname: ${tenant}\nallowed_namespaces:\n  ${tenant}: [prod]\n---\nresource: tenant\nid: ${tenant}\n---\nresource: key\ntenant: ${tenant}\nname: ci\nwrite_secret:\n  kubernetes: {namespace: ${namespace}, name: mintmark-ci}\n`
const apply = async (text: string, ...more: string[]) => {
  const done = await at.run(
    'apply',
    text,
    '--write-secret',
    '--secret-folder',
    folder,
    '--kubeconfig',
    kubeconfig,
    ...more,
  )
  output.push(done.stdout, done.stderr)
  return done
}
const SECRET = '/api/v1/namespaces/prod/secrets/mintmark-ci'
const file = () => join(folder, tenant, 'ci/api.key')
const inFile = () => readFileSync(file(), 'utf8')
const inSecret = () => Buffer.from(objects.byPath.get(SECRET).data['api-key'], 'base64').toString()
const key = async () => (await service.admin('GET', `/tenants/${tenant}/keys`)).body.data[0]
const usable = async () => {
  const { secrets } = (await key()) as {
    secrets: { id: string; state: string; ends_at: string | null; confirm_by: string | null }[]
  }
  return secrets.filter(({ state }) => ['live', 'ending'].includes(state))
}
const exchange = async (secret: string) =>
  (await service.token({ grant_type: 'client_credentials', client_secret: secret })).status

describe('A secret in a file', () => {
  it('is created whole, for its owner only, works, and is not touched by a second run', async () => {
    const first = await apply(withFile())
    expect(first.code, first.stderr).toBe(0)
    expect(statSync(file()).mode & 0o777).toBe(0o600)
    expect(statSync(`${file()}.mintmark`).mode & 0o777).toBe(0o600)
    expect(readdirSync(dirname(file())).toSorted()).toEqual(['api.key', 'api.key.mintmark'])
    expect(await exchange(inFile())).toBe(200)
    expect(await usable()).toMatchObject([{ state: 'live', ends_at: null, confirm_by: null }])
    const before = await at.writes()
    expect((await apply(withFile())).stdout).toContain('Nothing to change')
    expect(await at.writes()).toBe(before)
  })

  it('is not looked at without --write-secret', async () => {
    const { code, stdout } = await at.run('apply', withFile())
    expect([code, stdout]).toEqual([0, expect.stringContaining('write_secret of 1 object is not looked at')])
    expect(await usable()).toEqual([])
  })

  it('is rotated on request; the overlap of the old one begins when the new one is written', async () => {
    await apply(withFile())
    const old = inFile()
    expect((await apply(withFile('  overlap: 2h\n'), '--rotate', `${tenant}/ci`)).code).toBe(0)
    expect(inFile()).not.toBe(old)
    expect([await exchange(inFile()), await exchange(old)]).toEqual([200, 200])
    const [newer, older] = await usable()
    expect(newer).toMatchObject({ ends_at: null, confirm_by: null })
    const left = Date.parse(older?.ends_at ?? '') - Date.now()
    expect(left).toBeGreaterThan(7_100_000)
    expect(left).toBeLessThanOrEqual(7_200_000)
    const again = await apply(withFile(), '--rotate', `${tenant}/ci`)
    expect([again.code, again.stderr]).toEqual([
      5,
      expect.stringMatching(/rotation of team-\d+\/ci is not over/),
    ])
  })

  it('is rotated when it is as old as rotate_every, and not before', async () => {
    const text = withFile('  rotate_every: 90d\n')
    await apply(text)
    const old = inFile()
    expect((await apply(text)).stdout).toContain('Nothing to change')
    await service.database.asOwner(
      "UPDATE api_key_secrets SET created_at = now() - interval '91 days' WHERE key_id = $1",
      [(await key()).id],
    )
    expect((await apply(text)).stdout).toContain('rotate_every: 90d')
    expect(inFile()).not.toBe(old)
    expect((await apply(text)).stdout).toContain('Nothing to change')
  })

  it.each<[string, () => void]>([
    ['is gone', () => rmSync(file())],
    ['has other content', () => writeFileSync(file(), 'changed by hand')],
  ])('that %s gets a new secret', async (_, damage) => {
    await apply(withFile())
    const old = inFile()
    damage()
    expect((await apply(withFile())).code).toBe(0)
    expect(inFile()).not.toBe(old)
    expect(await exchange(inFile())).toBe(200)
    expect((await apply(withFile())).stdout).toContain('Nothing to change')
  })

  it('is never written over a file that is not ours, nor over a link or a folder', async () => {
    mkdirSync(dirname(file()), { recursive: true })
    writeFileSync(file(), 'precious')
    const { code, stderr } = await apply(withFile())
    expect([code, stderr]).toEqual([
      5,
      expect.stringMatching(/:\d+ \(document 3\): the file .*api\.key was not written by "mintmark apply"/),
    ])
    expect(inFile()).toBe('precious')
    expect((await service.admin('GET', `/tenants/${tenant}`)).status).toBe(404)
    rmSync(file())
    mkdirSync(file())
    expect((await apply(withFile())).stderr).toContain('is not a file with a secret')
  })

  it.each([
    ['another key of the set', () => ({ set: tenant, key: `${tenant}/other` })],
    ['a key of the same name in another set', () => ({ set: 'other', key: `${tenant}/ci` })],
  ])('is never written over the secret of %s', async (_, ownerOf) => {
    const owner = ownerOf()
    const theirs = 'what the other key is used with'
    mkdirSync(dirname(file()), { recursive: true })
    writeFileSync(file(), theirs)
    writeFileSync(`${file()}.mintmark`, JSON.stringify(owner))
    const { code, stderr } = await apply(withFile())
    expect([code, stderr]).toEqual([
      5,
      expect.stringContaining(`has the secret of the key ${owner.key} of the set ${owner.set}`),
    ])
    expect(inFile()).toBe(theirs)
  })

  it.each<[string, () => void, string]>([
    ['a file', () => writeFileSync(`${file()}.mintmark`, 'precious'), 'was not written by "mintmark apply"'],
    ['a secret', () => writeFileSync(`${file()}.mintmark`, 'mmk_x'), 'was not written by "mintmark apply"'],
    ['a folder', () => mkdirSync(`${file()}.mintmark`), 'is not a file with a secret'],
  ])('is not written where %s has the name of its note', async (_, make, message) => {
    mkdirSync(dirname(file()), { recursive: true })
    make()
    const { code, stderr } = await apply(withFile())
    expect([code, stderr]).toEqual([5, expect.stringContaining(`api.key.mintmark ${message}`)])
    expect(readdirSync(dirname(file()))).toEqual(['api.key.mintmark'])
    expect((await service.admin('GET', `/tenants/${tenant}`)).status).toBe(404)
  })

  it('never has the name of the note of another one', async () => {
    for (const path of ['ci/api.key.mintmark', 'ci/.MINTMARK']) {
      const { code, stderr } = await apply(withFile().replace('ci/api.key', path))
      expect([code, stderr], path).toEqual([
        2,
        expect.stringContaining('write_secret.file must not end with .mintmark'),
      ])
    }
  })

  it('is only below the folder of its tenant', async () => {
    for (const path of ['another/api.key', 'api.key', tenant, `${tenant}x/api.key`, `x/${tenant}/api.key`]) {
      const { code, stderr } = await apply(withFile().replace(`${tenant}/ci/api.key`, path))
      expect([code, stderr], path).toEqual([
        2,
        expect.stringContaining(`a key of the tenant ${tenant} may have its file only below ${tenant}/`),
      ])
    }
    expect((await service.admin('GET', `/tenants/${tenant}`)).status).toBe(404)
  })

  it('is never outside of --secret-folder', async () => {
    for (const path of ['/etc/x', '../x', 'a/../../x', './x']) {
      const { code, stderr } = await apply(withFile().replace(`${tenant}/ci/api.key`, path))
      expect([code, stderr], path).toEqual([
        2,
        expect.stringContaining('write_secret.file must be a path inside of --secret-folder'),
      ])
    }
  })
})

describe('A secret in a Kubernetes Secret', () => {
  it('is applied by server-side apply, marked as ours, and rotated', async () => {
    const first = await apply(withSecret())
    expect(first.code, first.stderr).toBe(0)
    expect(objects.byPath.get(SECRET).metadata.annotations).toEqual({
      'mintmark/set': tenant,
      'mintmark/key': `${tenant}/ci`,
    })
    const sent = api.requests.findLast(({ method }) => method === 'PATCH')
    expect([sent?.url, sent?.headers['content-type']]).toEqual([
      `${SECRET}?fieldManager=mintmark-apply&fieldValidation=Strict`,
      'application/apply-patch+yaml',
    ])
    const old = inSecret()
    expect(await exchange(old)).toBe(200)
    expect((await apply(withSecret())).stdout).toContain('Nothing to change')
    expect((await apply(withSecret(), '--rotate', `${tenant}/ci`)).code).toBe(0)
    expect([inSecret() === old, await exchange(inSecret()), await exchange(old)]).toEqual([false, 200, 200])
  })

  it('is not in a namespace that the set does not allow the tenant', async () => {
    const { code, stderr } = await apply(withSecret('kube-system'))
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/does not allow the tenant team-\d+ the namespace kube-system/),
    ])
    expect((await service.admin('GET', `/tenants/${tenant}`)).status).toBe(404)
  })

  it.each([
    [
      'without annotations',
      () => undefined,
      /the Secret prod\/mintmark-ci was not written by "mintmark apply"/,
    ],
    [
      'of another set',
      () => ({ 'mintmark/set': 'other', 'mintmark/key': `${tenant}/ci` }),
      /has the secret of the key team-\d+\/ci of the set other/,
    ],
    [
      'of another key',
      () => ({ 'mintmark/set': tenant, 'mintmark/key': 'x/y' }),
      /has the secret of the key x\/y of the set team-\d+/,
    ],
  ])('is never written over a Secret %s', async (_, annotations, message) => {
    const stored = {
      metadata: { name: 'mintmark-ci', resourceVersion: '7', annotations: annotations() },
      kind: 'Secret',
      data: { 'api-key': 'eA==' },
    }
    objects.byPath.set(SECRET, stored)
    const { code, stderr } = await apply(withSecret())
    expect([code, stderr]).toEqual([5, expect.stringMatching(message)])
    expect(objects.byPath.get(SECRET)).toBe(stored)
  })

  it('that cannot be written leaves the old one valid and no other, and the next run heals it', async () => {
    await apply(withSecret())
    const old = inSecret()
    refuse = ({ method }) => (method === 'PATCH' ? status(403, 'Forbidden', 'no') : undefined)
    const failed = await apply(withSecret(), '--rotate', `${tenant}/ci`)
    expect([failed.code, failed.stderr]).toEqual([
      3,
      expect.stringContaining('Grant the Role of docs/guides/apply.md'),
    ])
    expect(await usable()).toMatchObject([{ state: 'live', ends_at: null }])
    expect(await exchange(old)).toBe(200)
    refuse = () => undefined
    expect((await apply(withSecret(), '--rotate', `${tenant}/ci`)).code).toBe(0)
    expect(inSecret()).not.toBe(old)
  })
})

describe('The secret of a usage reporter', () => {
  const withReporter = (more = '', audience = 'vllm') =>
    `resource: set\nname: ${tenant}\nusage_reporter_namespaces: [gateways]\n---\nresource: usage-reporter\nname: envoy\naudiences: [${audience}]\n${more}`
  const inFolder = (name = 'usage_reporters/envoy') => `write_secret:\n  file: ${name}\n`
  const stored = () => readFileSync(join(folder, 'usage_reporters/envoy'), 'utf8')
  const reporters = async (): Promise<{ id: string; state: string }[]> => {
    const { data } = (await service.admin('GET', `/set-objects?set=${tenant}`)).body
    return Promise.all(
      data.map(async ({ id }: { id: string }) => (await service.admin('GET', `/usage-reporters/${id}`)).body),
    )
  }

  it('is written when the reporter is created, and not touched by a second run', async () => {
    const without = await at.run('apply', withReporter(inFolder()))
    expect([without.code, without.stdout]).toEqual([
      0,
      expect.stringContaining('usage-reporter envoy is not created: its secret needs a place'),
    ])
    expect(await reporters()).toEqual([])
    const first = await apply(withReporter(inFolder()))
    expect(first.code, first.stderr).toBe(0)
    const [reporter] = await reporters()
    expect(stored()).toMatch(new RegExp(`^mmr_${reporter?.id.slice(4)}_\\w{49}$`))
    const before = await at.writes()
    expect((await apply(withReporter(inFolder()))).stdout).toContain('Nothing to change')
    expect((await at.run('diff', withReporter(inFolder()))).code).toBe(0)
    expect(await at.writes()).toBe(before)
    const exported = await mintmark(['export', '--set', tenant], { env: at.env })
    expect(exported.stdout).toContain('resource: usage-reporter\nname: envoy\naudiences:\n  - vllm\n')
    expect((await at.run('diff', exported.stdout)).code).toBe(0)
  })

  const inspect = async (secret: string) => {
    const { body } = await service.admin('POST', '/usage-reporters/inspect', { secret })
    const { usage_reporter: reporter, secret_ends_at: ends } = body
    return [reporter?.id, ends === null ? 'newest' : Date.parse(ends) > Date.now() ? 'older' : 'ended']
  }
  const place = () => join(folder, 'usage_reporters/envoy')

  it.each<[string, () => void]>([
    ['is lost', () => rmSync(place())],
    ['was changed', () => writeFileSync(place(), 'changed by hand')],
  ])('that %s is rotated: the reporter and what its gateways have stay', async (_, damage) => {
    await apply(withReporter(inFolder()))
    const [reporter] = await reporters()
    const old = stored()
    damage()
    const healed = await apply(withReporter(inFolder()))
    expect([healed.code, healed.stdout]).toEqual([
      0,
      expect.stringContaining('write secret of usage-reporter envoy'),
    ])
    expect(await reporters()).toMatchObject([{ id: reporter?.id, state: 'active' }])
    expect([await inspect(stored()), await inspect(old)]).toEqual([
      [reporter?.id, 'newest'],
      [reporter?.id, 'older'],
    ])
    expect((await apply(withReporter(inFolder()))).stdout).toContain('Nothing to change')
  })

  it('is rotated on request, with the overlap of the file, once at a time', async () => {
    const text = withReporter(`${inFolder()}  overlap: 2h\n`)
    await apply(text)
    const old = stored()
    const rotate = () => apply(text, '--rotate', 'usage_reporters/envoy')
    expect((await rotate()).stdout).toContain('rotate secret of usage-reporter envoy')
    const [reporter] = await reporters()
    expect([await inspect(stored()), await inspect(old)]).toEqual([
      [reporter?.id, 'newest'],
      [reporter?.id, 'older'],
    ])
    const { older_secret_ends_at: ends } = (await service.admin('GET', `/usage-reporters/${reporter?.id}`))
      .body
    expect(Date.parse(ends) - Date.now()).toBeGreaterThan(7_000_000)
    expect(Date.parse(ends) - Date.now()).toBeLessThanOrEqual(7_200_000)
    const again = await rotate()
    expect([again.code, again.stderr]).toEqual([
      5,
      expect.stringContaining('rotation of the usage reporter envoy is not over'),
    ])
    expect((await apply(text)).stdout).toContain('Nothing to change')
    for (const name of ['envoy', 'usage-reporter/envoy'])
      expect(await apply(text, '--rotate', name), name).toMatchObject({ code: 2 })
  })

  it('that could not be written is replaced by the next run: the one in its place stays valid', async () => {
    const text = withReporter(inFolder())
    await apply(text)
    const old = stored()
    const [reporter] = await reporters()
    const rotated = await service.admin('POST', `/usage-reporters/${reporter?.id}/rotate`, {})
    // As after a run that ended between the rotation and the writing.
    const healed = await apply(text)
    expect([healed.code, healed.stdout]).toEqual([
      0,
      expect.stringContaining('has the secret before the newest one'),
    ])
    expect(await Promise.all([stored(), old, rotated.body.secret].map(inspect))).toEqual([
      [reporter?.id, 'newest'],
      [reporter?.id, 'older'],
      [reporter?.id, 'ended'],
    ])
    // One that ended is no secret, though it is of the reporter.
    writeFileSync(place(), rotated.body.secret)
    expect((await apply(text)).stdout).toContain('has no valid secret of the reporter')
    expect(await inspect(stored())).toEqual([reporter?.id, 'newest'])
  })

  it('is not lost where its place cannot be written: the error says until when the old one is valid', async () => {
    const text = withReporter('write_secret:\n  kubernetes: {namespace: gateways, name: usage}\n')
    const inCluster = () =>
      Buffer.from(
        objects.byPath.get('/api/v1/namespaces/gateways/secrets/usage').data['api-key'],
        'base64',
      ).toString()
    expect((await apply(text)).code).toBe(0)
    const old = inCluster()
    refuse = ({ method }) => (method === 'PATCH' ? status(403, 'Forbidden', 'no') : undefined)
    const failed = await apply(text, '--rotate', 'usage_reporters/envoy')
    expect([failed.code, failed.stderr]).toEqual([
      3,
      expect.stringMatching(/The previous one is accepted until \d{4}-.*: run the command again before that/),
    ])
    expect(await inspect(old)).toEqual([expect.any(String), 'older'])
    refuse = () => undefined
    expect((await apply(text)).code).toBe(0)
    expect([(await inspect(inCluster()))[1], (await inspect(old))[1]]).toEqual(['newest', 'older'])
  })

  it('of an adopted reporter is written, and its gateways keep the one that they have', async () => {
    const name = `by-hand-${tenant}`
    const { body } = await service.admin('POST', '/usage-reporters', { name, audiences: ['vllm'] })
    const adopted = withReporter(inFolder()).replace('envoy', name)
    expect((await apply(adopted, '--adopt')).code).toBe(0)
    expect([await inspect(stored()), await inspect(body.secret)]).toEqual([
      [body.id, 'newest'],
      [body.id, 'older'],
    ])
  })

  it('is that of another reporter for other audiences, which need --yes', async () => {
    await apply(withReporter(inFolder()))
    const asked = await apply(withReporter(inFolder(), 'other'))
    expect([asked.code, asked.stderr]).toEqual([2, expect.stringContaining('its totals stay')])
    expect((await apply(withReporter(inFolder(), 'other'), '--yes')).code).toBe(0)
    expect(await reporters()).toMatchObject([{ state: 'active', audiences: ['other'] }])
    expect((await apply(withReporter(inFolder(), 'other'))).stdout).toContain('Nothing to change')
  })

  it('ends with --prune, and that of an adopted one never does', async () => {
    await apply(withReporter(inFolder()))
    const [made] = await reporters()
    const empty = `resource: set\nname: ${tenant}\n`
    expect((await apply(empty, '--prune')).code).toBe(2)
    expect((await apply(empty, '--prune', '--yes')).code).toBe(0)
    expect((await service.admin('GET', `/usage-reporters/${made?.id}`)).body.state).toBe('deleted')
    const name = `by-hand-${tenant}`
    const { body } = await service.admin('POST', '/usage-reporters', { name, audiences: ['vllm'] })
    const adopted = withReporter('').replace('envoy', name)
    expect((await apply(adopted, '--adopt')).code).toBe(0)
    const changed = await apply(adopted.replace('[vllm]', '[other]'))
    expect([changed.code, changed.stderr]).toEqual([5, expect.stringContaining('cannot be changed')])
    expect((await apply(empty, '--prune', '--yes')).code).toBe(0)
    expect((await service.admin('GET', `/usage-reporters/${body.id}`)).body.state).toBe('active')
  })

  it.each([
    [
      'a file in the folder of a tenant',
      inFolder('acme/envoy'),
      /may have its file only below usage_reporters\//,
    ],
    [
      'a namespace that the set does not allow',
      'write_secret:\n  kubernetes: {namespace: prod, name: x}\n',
      /does not allow usage reporters the namespace prod/,
    ],
    ['an age', `${inFolder()}  rotate_every: 90d\n`, /write_secret.rotate_every is not a known field/],
  ])('is refused for %s', async (_, more, message) => {
    const { code, stderr } = await apply(withReporter(more))
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)])
    expect(await reporters()).toEqual([])
  })
})

describe('A rotation under load', () => {
  it('fails no request of a client that reads the file for each', async () => {
    const text = withFile('  overlap: 1h\n')
    await apply(text)
    let stop = false
    let sent = 0
    const failed: number[] = []
    const seen = new Set<string>()
    const client = async () => {
      while (!stop) {
        const secret = inFile()
        seen.add(secret)
        const answered = await exchange(secret)
        sent++
        if (answered !== 200) failed.push(answered)
      }
    }
    const clients = [client(), client(), client(), client()]
    for (let round = 0; round < 3; round++) {
      expect((await apply(text, '--rotate', `${tenant}/ci`)).code).toBe(0)
      // The overlap is shortened to nothing, as if it had passed.
      const [, older] = await usable()
      await service.admin('POST', `/keys/${(await key()).id}/secrets/${older?.id}/revoke`)
    }
    stop = true
    await Promise.all(clients)
    expect(failed).toEqual([])
    expect(seen.size).toBe(4)
    expect(sent).toBeGreaterThan(20)
  })
})

describe('A rotation that waits', () => {
  const rotated = async () => {
    const { keyId, secret } = await service.tenantWithKey()
    const body = { confirm_within_seconds: 60, overlap_seconds: 3600 }
    const { body: issued } = await service.admin('POST', `/keys/${keyId}/rotate`, body)
    const states = async () =>
      (await service.admin('GET', `/keys/${keyId}`)).body.secrets.map((one: Record<string, unknown>) => [
        one.state,
        one.confirm_by === null ? 'settled' : 'waits',
      ])
    return { keyId, old: secret, issued, states }
  }

  it('leaves the old secret alone; its overlap begins when the new one is first used', async () => {
    const { states, issued } = await rotated()
    expect(await states()).toEqual([
      ['live', 'waits'],
      ['live', 'settled'],
    ])
    expect(await exchange(issued.secret)).toBe(200)
    await until('the use confirms it', async () => (await states())[1][0] === 'ending', Boolean, 30_000)
    expect(await states()).toEqual([
      ['live', 'settled'],
      ['ending', 'settled'],
    ])
  })

  it('ends only older secrets, and not one that a later rotation added', async () => {
    const { keyId, issued, states } = await rotated()
    await service.admin('POST', `/keys/${keyId}/rotate`, { replace: 'oldest', overlap_seconds: 3600 })
    await service.admin('POST', `/keys/${keyId}/secrets/${issued.secret_id}/confirm`)
    expect(await states()).toEqual([
      ['live', 'settled'],
      ['ending', 'settled'],
      ['ended', 'settled'],
    ])
  })

  it('revokes the new secret when it is neither confirmed nor used, and the old one stays valid', async () => {
    const { states, issued, old } = await rotated()
    await service.database.asOwner(
      "UPDATE pending_secrets SET confirm_by = now() - interval '2 minutes' WHERE secret_id = $1",
      [issued.secret_id],
    )
    await until('it lapses', async () => (await states())[0][0] === 'revoked', Boolean, 30_000)
    expect(await states()).toEqual([
      ['revoked', 'settled'],
      ['live', 'settled'],
    ])
    await until('every replica knows', async () => (await exchange(issued.secret)) === 401)
    expect(await exchange(old)).toBe(200)
    const { status: late, body } = await service.admin(
      'POST',
      `/keys/${(await service.admin('POST', '/keys/inspect', { key: old })).body.key.id}/secrets/${issued.secret_id}/confirm`,
    )
    expect([late, body.code]).toEqual([409, 'secret_ended'])
  })
})

it('no secret is in any output, log or audit row', async () => {
  const secrets = [...objects.byPath.values()].map(({ data }) =>
    Buffer.from(data['api-key'], 'base64').toString(),
  )
  const files = readdirSync(at.folder, { recursive: true, encoding: 'utf8' }).filter(
    name => name.endsWith('api.key') && statSync(join(at.folder, name)).isFile(),
  )
  secrets.push(...files.map(name => readFileSync(join(at.folder, name), 'utf8')))
  const audit = JSON.stringify(await service.database.asOwner('SELECT changes FROM audit_events'))
  const everything = [...output, ...service.logs, audit].join('\n')
  expect(secrets.filter(text => /^mmk_/.test(text)).length).toBeGreaterThan(4)
  expect(everything).not.toMatch(/mm[kr]_\w{16}_/)
  for (const secret of secrets) expect(everything).not.toContain(secret.slice(21))
})
