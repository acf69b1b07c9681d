import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { newPair } from '../identity-providers/assertions.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

/** The tables of lists, cell by cell, for objects that have every field: no title without what belongs below it. */

const clock = promptedClock()
const DAY = /^\d{4}-\d\d-\d\d$/
const MOMENT = /^\d{4}-\d\d-\d\d/

let service: TestService
let cli: ReturnType<typeof cliOf>
const made = {
  key: '',
  admin: '',
  reporter: '',
  provider: '',
  workload: '',
  credential: '',
  jti: '',
  kid: '',
}
beforeAll(async () => {
  service = await startTestService({ overrides: { clock } })
  cli = cliOf(service)
  const create = async (path: string, body: object) => (await service.admin('POST', path, body)).body
  await service.admin('PUT', '/tiers/gold', { priority: 7, description: 'people' })
  await service.admin('PUT', '/models/llama-3-8b', { max_model_len: 8192, description: 'chat' })
  const adapter = { base_model: 'llama-3-8b', max_model_len: 4096, description: 'queries' }
  await service.admin('PUT', '/adapters/acme-sql', adapter)
  const tenant = { id: 'acme', name: 'Acme Ltd', tier: 'gold', adapters: ['acme-sql'], contact: 'ops' }
  await create('/tenants', tenant)
  const key = await create('/tenants/acme/keys', { name: 'ci', contact: 'team' })
  const issuer = 'https://issuer.example.test'
  const jwks = { keys: [newPair('one').jwk] }
  const settings = { name: 'cluster', kind: 'oidc', issuer, audiences: ['a'], jwks }
  const provider = await create('/identity-providers', settings)
  const rule = { type: 'federated', provider: provider.id, subject: 'robot' }
  const workload = await create('/tenants/acme/workload-keys', { credential: rule })
  const { body } = await service.token({ grant_type: 'client_credentials', client_secret: key.secret })
  made.jti = decodeJwt(body.access_token).jti ?? ''
  await create('/token-revocations', { jti: made.jti, reason: 'seen in a log' })
  await create('/token-revocations', { key: key.id, reason: 'laptop stolen' })
  made.key = key.id
  made.admin = (await create('/admin-tokens', { role: 'tenant-admin', tenant: 'acme', name: 'deploy' })).id
  made.reporter = (await create('/usage-reporters', { name: 'envoy', audiences: ['vllm', 'other'] })).id
  made.provider = provider.id
  made.workload = workload.key
  made.credential = workload.credential.id
  made.kid = (await service.admin('GET', '/signing-keys')).body.data[0].kid
  // What exchanges defer.
  await clock.runJobs()
})
afterAll(() => service.stop())

const LISTS: [command: string, id: keyof typeof made | string, cells: (string | RegExp)[]][] = [
  ['tier list', 'gold', ['7', 'people', DAY]],
  ['model list', 'llama-3-8b', ['8192', 'chat', DAY]],
  ['adapter list', 'acme-sql', ['llama-3-8b', '4096', 'queries', DAY]],
  ['tenant list', 'acme', ['Acme Ltd', 'active', 'gold', 'acme-sql', 'ops', DAY]],
  ['key list acme', 'key', ['acme', 'ci', 'active', DAY, DAY, 'team', 'root']],
  ['key bulk-revoke --dry-run --tenant acme', 'key', ['acme', 'ci']],
  ['admin-token list', 'admin', ['deploy', 'tenant-admin', 'acme', 'active', DAY, '-', 'root']],
  ['usage-reporter list', 'reporter', ['envoy', 'vllm other', 'active', DAY]],
  ['identity providers', 'provider', ['cluster', 'oidc', 'https://issuer.example.test', DAY]],
  ['identity credentials WORKLOAD', 'credential', ['federated', 'PROVIDER', 'robot']],
  ['signing-key list', 'kid', ['ES256', /^(active|standby)$/, MOMENT, /^(-|\d{4}.*)$/, '-']],
  ['report access-review', 'key', ['acme', 'ci', 'active', 'team', DAY, DAY, 'gold', 'root']],
]

it.each(LISTS)('mintmark %s', async (command, name, cells) => {
  const named = (text: string) => text.replace('WORKLOAD', made.workload).replace('PROVIDER', made.provider)
  const id = (made as Record<string, string>)[name] ?? name
  const [titles = '', ...lines] = (await cli.run(...named(command).split(' '))).split('\n')
  const row = lines
    .find(line => line.startsWith(`${id} `))
    ?.trimEnd()
    .split(/ {2,}/)
  expect(row?.[0]).toBe(id)
  for (const [index, cell] of cells.entries())
    expect(row?.[index + 1], titles).toEqual(
      typeof cell === 'string' ? named(cell) : expect.stringMatching(cell),
    )
  expect(row).toHaveLength(cells.length + 1)
})

it('mintmark token revocations', async () => {
  const [, ...lines] = (await cli.run('token', 'revocations')).trimEnd().split('\n')
  const ends = expect.stringMatching(MOMENT)
  expect(lines.map(line => line.split(/ {2,}/).slice(1))).toEqual([
    ['key_epoch', expect.any(String), made.key, 'acme', ends, '-', 'laptop stolen'],
    ['jti', made.jti, '-', '-', ends, '-', 'seen in a log'],
  ])
})

it('mintmark audit list', async () => {
  const [, row = ''] = (await cli.run('audit', 'list', '--target', made.key)).split('\n')
  expect(row.split(/ {2,}/)).toEqual([
    ...[expect.stringMatching(/^\d+$/), expect.stringMatching(MOMENT), 'root', 'key.create'],
    ...['done', `key ${made.key}`, 'acme'],
  ])
})

it('mintmark key exchanges', async () => {
  const [, row = ''] = (await cli.run('key', 'exchanges', made.key)).split('\n')
  expect(row.split(/ {2,}/)).toEqual([expect.stringMatching(DAY), 'exchanged', '1'])
})
