import { describe, expect, it } from 'vitest'
import { RecentRefusals, type RefusalLine, readRefusal } from '../../src/http/recent-refusals.ts'

const line = (more: Partial<RefusalLine>): RefusalLine => ({
  listener: 'public',
  route: '/oauth/token',
  status: 401,
  ...more,
})
const first = (recent: RecentRefusals) => recent.find({ requestId: 'first' }, 1_000_000)
const ofKey = (recent: RecentRefusals) => recent.find({ keyId: 'key_1' }, 1_000_000)

describe('recent refusals', () => {
  it('keep refusals of known keys, however many anonymous ones there are', () => {
    const recent = new RecentRefusals({ known: 10, anonymous: 20 })
    recent.note(line({ reason: 'key_expired', client_id: 'key_1', request_id: 'first' }), 0)
    for (let at = 1; at < 10_000; at++) recent.note(line({ reason: 'unknown', client_id: `key_${at}` }), at)
    expect(first(recent)).toHaveLength(1)
    expect(recent.extent.count).toBeLessThanOrEqual(1 + 22)
    expect(recent.extent.since).toBe(0)
  })

  it.each<[string, Partial<RefusalLine>]>([
    ['wrong secrets', { reason: 'wrong_secret' }],
    ['assertions with another signature', { reason: 'assertion_signature' }],
    ['assertions with an unknown kid', { reason: 'assertion_unknown_key' }],
    ['assertions without a kid', { reason: 'assertion_ambiguous_key' }],
    ['assertions with another algorithm', { reason: 'assertion_alg' }],
    ['secrets that were not compared', { reason: 'key_revoked', client_unproven: true }],
  ])('of a key that was only named evict none of those: %s', (_, guess) => {
    const recent = new RecentRefusals({ known: 10, anonymous: 20 })
    recent.note(line({ reason: 'key_expired', client_id: 'key_1', request_id: 'first' }), 0)
    for (let at = 1; at < 100; at++) recent.note(line({ ...guess, client_id: 'key_1' }), at)
    expect(first(recent)).toHaveLength(1)
  })

  it('are bounded, and the newest is first', () => {
    const recent = new RecentRefusals({ known: 10, anonymous: 20 })
    for (let at = 0; at < 100; at++) recent.note(line({ reason: 'key_expired', client_id: 'key_1' }), at)
    expect(ofKey(recent).length).toBeLessThanOrEqual(11)
    expect(ofKey(recent)[0]?.at).toBe(99)
  })

  it('are only those with a reason of the list', () => {
    const recent = new RecentRefusals()
    recent.note(line({ reason: 'text of a client' }), 0)
    recent.note(line({ status: 200, reason: 'key_expired' }), 0)
    recent.note(line({}), 0)
    expect(recent.extent).toEqual({ count: 0, since: undefined })
    recent.note(line({ error: 'invalid_scope', client_id: 'key_1' }), 0)
    expect(ofKey(recent)[0]?.reason).toBe('invalid_scope')
  })

  it('of another process are read field by field', () => {
    const recent = new RecentRefusals()
    recent.note(line({ reason: 'key_expired', client_id: 'key_1', request_id: 'first' }), 5)
    const [kept] = first(recent)
    expect(readRefusal(JSON.parse(JSON.stringify(kept)))).toEqual(kept)
    for (const wrong of [
      null,
      'text',
      {},
      { ...kept, reason: 'text of a client' },
      { ...kept, status: '401' },
    ])
      expect(readRefusal(wrong)).toBeUndefined()
    expect(readRefusal({ ...kept, source: 7, more: 'x' })).toEqual({ ...kept, source: undefined })
  })
})
