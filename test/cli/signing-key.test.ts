import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
})
afterAll(() => service.stop())

const kidIn = async (state: string): Promise<string> => {
  const { body } = await service.admin('GET', '/signing-keys')
  return body.data.find((key: { state: string }) => key.state === state).kid
}

describe('mintmark signing-key', () => {
  it('list prints the list of the API', async () => {
    const { body } = await service.admin('GET', '/signing-keys')
    expect(await cli.json('signing-key', 'list')).toEqual(body.data)
    expect(await cli.run('signing-key', 'list')).toMatch(
      /^KID +ALG +STATE +ACTIVATES +RETIRES +HELD\n.+ES256 +(active|standby)/,
    )
    expect(await cli.run('signing-key', 'list', '--limit', '1', '-q')).toBe(`${body.data[0].kid}\n`)
  })

  it('rotate prints which key signs from when on', async () => {
    const next = await cli.json('signing-key', 'rotate')
    expect(next).toEqual({ kid: expect.any(String), activates_at: expect.stringMatching(/^\d{4}-.*Z$/) })
    expect(await cli.run('signing-key', 'rotate')).toContain(`${next.kid} signs from `)
    expect(await cli.run('signing-key', 'rotate', '-q')).toBe(`${next.kid}\n`)
    expect(await cli.attempt(['signing-key', 'rotate', '--alg', 'RS256'])).toMatchObject({ code: 5 })
  })

  it('hold pins a key and release returns it to the schedule', async () => {
    const kid = await kidIn('active')
    expect(await cli.run('signing-key', 'hold', kid, '--verbose')).toMatch(/^held +true$/m)
    expect(await cli.json('signing-key', 'release', kid)).toMatchObject({ kid, held: false })
    expect(await cli.attempt(['signing-key', 'hold', 'nobody'])).toMatchObject({ code: 4 })
  })

  it('revoke reports everything: the signing key, the confirmed replicas, and how long verifiers trust the old one', async () => {
    const [kid, next] = [await kidIn('active'), await kidIn('standby')]
    const text = await cli.run('signing-key', 'revoke', kid, '--reason', 'lost laptop')
    expect(text).toContain(`Revoked ${kid} and removed it from the JWKS.\nSigning now: ${next} (ES256).\n`)
    expect(text).toContain('Replicas: 1 have confirmed')
    expect(text).toContain('Istio (istiod fetches): within 1200 s (3600 s after failures')
    expect(text).toContain('Until then, anyone with the private key can forge tokens of any lifetime.')
    expect(await cli.json('signing-key', 'revoke', kid)).toMatchObject({ kid, state: 'revoked' })
  })

  it.each([
    ['get', (kid: string) => [kid, '-o', 'json']],
    ['hold', (kid: string) => ['-o', 'json', kid]],
    ['release', (kid: string) => ['--', kid]],
    ['revoke', (kid: string) => [kid, '--reason', 'lost laptop']],
  ])('%s takes a kid that begins with "-", as one in 64 does', async (verb, operands) => {
    // Its first letters are options of every command.
    const kid = `-qo${'x'.repeat(40)}`
    const { code, stderr } = await cli.attempt(['signing-key', verb, ...operands(kid)])
    expect({ code, stderr }).toEqual({ code: 4, stderr: expect.stringContaining(kid) })
  })

  it('rewrap prints how many it encrypted under which key', async () => {
    expect(await cli.run('signing-key', 'rewrap')).toBe(
      'Re-encrypted 0 private keys. All are encrypted with "e1". Sealed 0 rows again.\n' +
        'Nothing is left on other encryption keys: they can be removed.\n',
    )
  })
})

describe('mintmark installation', () => {
  it('get shows the policy, its number of keys, and what still uses old secrets', async () => {
    const text = await cli.run('installation', 'get')
    expect(text).toMatch(/^policy\.rotation_interval_seconds +2592000$/m)
    expect(text).toMatch(/^published_keys\.total +3$/m)
    expect(text).toMatch(/^peppers\.left_on_others +none$/m)
    expect(await cli.json('installation', 'get')).toMatchObject({ policy: { signing_alg: 'ES256' } })
  })

  it('update changes the given settings, and shows the calculation when they do not fit', async () => {
    const changed = await cli.json(
      'installation',
      'update',
      ...['--rotation-interval-seconds', '604800', '--publish-alg', 'ES256', '--publish-alg', 'RS256'],
      ...['--unending-keys', 'yes'],
    )
    expect(changed).toMatchObject({
      policy: {
        rotation_interval_seconds: 604_800,
        signing_algs: ['ES256', 'RS256'],
        unending_keys_allowed: true,
      },
    })
    const refused = await cli.attempt(['installation', 'update', '--publish-lead-seconds', '604801'])
    expect(refused.stderr).toMatch(
      /--publish-lead-seconds \(\/policy\/publish_lead_seconds\) must be a whole number/,
    )
    const early = await cli.attempt(['installation', 'update', '--audience-alg', 'legacy=RS256'])
    expect(early).toMatchObject({ code: 5, stderr: expect.stringContaining('select it then') })
    expect(await cli.attempt(['installation', 'update', '--audience-alg', 'RS256'])).toMatchObject({
      code: 2,
    })
    expect(await cli.attempt(['installation', 'update'])).toMatchObject({ code: 2 })
  })
})
