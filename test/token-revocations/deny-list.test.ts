import { expect, it } from 'vitest'
import { ChangeFollower } from '../../src/database/change-follower.ts'
import type { Database } from '../../src/database/database.ts'
import { DatabaseTime } from '../../src/database/database-time.ts'
import { GatewayRevocations } from '../../src/service/gateway-revocations.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom as random } from '../../src/system/random.ts'
import { DenyList } from '../../src/token-revocations/deny-list.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'

const token = { jti: 'j1', sub: 'key_1', tenant: 'acme', key_epoch: 'kkkkkkkk', tenant_epoch: 'tttttttt' }
const listOf = (...entries: Parameters<DenyList['add']>[0]) => {
  const list = new DenyList({ database: undefined as unknown as Database })
  list.add(entries)
  return list
}

it.each([
  ['jti', 'j1', true],
  ['key_epoch', 'kkkkkkkk', true],
  ['tenant_epoch', 'tttttttt', true],
  ['jti', 'kkkkkkkk', false],
  ['key_epoch', 'tttttttt', false],
  ['tenant_epoch', 'undefined', false],
] as const)('%s %s denies the token: %s', (claim, value, expected) => {
  expect(listOf({ claim, value, endsAt: 1 }).denies(token)).toBe(expected)
})

it('does not deny a token of a version without epochs', () => {
  const list = listOf({ claim: 'key_epoch', value: 'kkkkkkkk', endsAt: 1 })
  expect(list.denies({ jti: 'j1', sub: 'key_1', tenant: 'acme' })).toBe(false)
})

it('keeps an entry until its end, and the later end of two', () => {
  const list = listOf(
    { claim: 'jti', value: 'j1', endsAt: 2_000 },
    { claim: 'jti', value: 'j1', endsAt: 1_000 },
  )
  list.removeEnded(1_999)
  expect(list.denies(token)).toBe(true)
  list.removeEnded(2_000)
  expect([list.denies(token), list.size]).toEqual([false, 0])
})

it('learns the tenant of an entry from a snapshot of an older version, and keeps its end', () => {
  const list = listOf(
    { claim: 'jti', value: 'j1', endsAt: 2_000 },
    { claim: 'jti', value: 'j1', tenantId: 'acme', endsAt: 1_000 },
  )
  expect(list.contents).toEqual([{ claim: 'jti', value: 'j1', tenantId: 'acme', endsAt: 2_000 }])
})

it('denies the tokens of a key or tenant that changed here and cannot be read', () => {
  const list = listOf()
  list.forget([{ kind: 'key', id: 'key_1' }])
  expect(list.denies(token)).toBe(true)
  expect(list.denies({ ...token, sub: 'key_2' })).toBe(false)
  list.forget([{ kind: 'tenant', id: 'acme' }])
  expect(list.denies({ ...token, sub: 'key_2' })).toBe(true)
})

it.each([
  [10_000, 0.1],
  [50, 0.0005],
])('with %d entries is sent to gateways again %d s after it was encoded, and not before', (size, seconds) => {
  const clock = adjustableClock()
  clock.freeze()
  const entry = (index: number) => ({ claim: 'jti', value: `j${index}`, endsAt: 1 }) as const
  const denyList = listOf(...Array.from({ length: size - 1 }, (_, index) => entry(index)))
  const database = undefined as unknown as Database
  const follower = new ChangeFollower({ database, clock, random, logger: createLogger('silent') })
  const source = new GatewayRevocations({ denyList, follower, time: new DatabaseTime(clock), clock })
  const sent = source.filter
  denyList.add([entry(size)])
  clock.forward(seconds * 0.99)
  expect([source.revision, source.isNewest(source.revision)]).toEqual([size - 1, false])
  expect(source.filter).toBe(sent)
  clock.forward(seconds * 0.02)
  expect([source.revision, source.isNewest(source.revision)]).toEqual([size, true])
  expect(source.filter.length).toBeGreaterThan(sent.length)
})
