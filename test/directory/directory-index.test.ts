import { beforeEach, describe, expect, it } from 'vitest'
import { DirectoryIndex, type DirectoryUpdate } from '../../src/directory/directory-index.ts'
import type { KnownKey, KnownTenant } from '../../src/directory/known-key.ts'

const rights = {
  tier: null,
  scopes: ['inference'],
  models: null,
  adapters: null,
  audiences: null,
  tokenTtlSeconds: null,
  limits: {},
}
const key = (name: string, more: Partial<KnownKey> = {}): KnownKey => ({
  id: `key_${name}`,
  tenantId: 'acme',
  expiresAt: null,
  disabled: false,
  epoch: 'k0000000',
  rights: { ...rights },
  secrets: [{ id: `sec_${name}`, digest: name, endsAt: null }],
  ...more,
})
const tenant = (id: string, more: Partial<KnownTenant> = {}): KnownTenant => ({
  id,
  suspended: false,
  epoch: 't0000000',
  stalenessSeconds: null,
  rights: {
    tier: 'standard',
    allowedTiers: ['standard'],
    scopes: ['inference'],
    models: null,
    adapters: [],
    audiences: ['vllm'],
    tokenTtlSeconds: null,
    limits: {},
  },
  ...more,
})
const catalogue = {
  priorities: new Map([['standard', 0]]),
  tierLimits: new Map(),
  models: ['llama'],
  tokenTtlSeconds: 300,
}
const update = (more: Partial<DirectoryUpdate>): DirectoryUpdate => ({
  keyIds: [],
  keys: [],
  tenantIds: [],
  tenants: [],
  catalogue,
  ...more,
})

let index: DirectoryIndex
beforeEach(() => {
  index = new DirectoryIndex({ catalogue, maxKeys: 3, lookupName: hash => `name of ${hash}` })
  index.putTenant(tenant('acme'))
  index.put(key('a'))
})

const stateOf = (digest: string) => index.find(digest)?.snapshot

describe('the directory in memory', () => {
  it('finds a secret by its hash while it has its key, which it keeps also when it is full', () => {
    const imported = { scheme: 'sha256-lookup', hash: 'ab' } as const
    for (const name of ['b', 'c', 'd']) index.put(key(name))
    expect([index.has('key_d'), index.overflowed]).toEqual([false, true])
    index.put(key('e', { secrets: [{ id: 'sec_e', digest: 'client:e', endsAt: null, imported }] }))
    expect([index.has('key_e'), index.lookups.digestOf('ab'), index.lookups.size]).toEqual([
      true,
      'client:e',
      1,
    ])
    index.remove('key_e')
    expect([index.lookups.digestOf('ab'), index.lookups.size]).toEqual([undefined, 0])
  })

  it('may lack a secret that is found by its hash while it could not verify one', () => {
    index.put(key('b', { secrets: [], incomplete: true, unverifiable: true }))
    expect(index.lookups.isIncomplete).toBe(true)
    index.put(key('b'))
    expect(index.lookups.isIncomplete).toBe(false)
  })

  it('expects imported clients in Postgres while it has left one out, and no longer', () => {
    expect(index.imports).toBeUndefined()
    index.put(key('b', { incomplete: true }))
    expect(index.imports).toEqual({ highestCost: null })
    index.put(key('b'))
    expect(index.imports).toBeUndefined()
    index.put(key('b', { secrets: [], incomplete: true }))
    index.remove('key_b')
    expect(index.imports).toBeUndefined()
  })

  it('finds a secret with its key, tenant and catalogue', () => {
    expect(stateOf('a')).toEqual({
      secretId: 'sec_a',
      secretDigest: 'a',
      secretEndsAt: null,
      secretRevoked: false,
      keyId: 'key_a',
      keyExpiresAt: null,
      keyDisabled: false,
      keyRevoked: false,
      keyRights: rights,
      keyEpoch: 'k0000000',
      tenantId: 'acme',
      tenantSuspended: false,
      tenantRights: tenant('acme').rights,
      tenantEpoch: 't0000000',
      catalogue,
    })
    expect(index.find('b')).toBeUndefined()
  })

  it.each<[string, DirectoryUpdate, Partial<ReturnType<typeof stateOf>> | undefined]>([
    ['a key that is gone', update({ keyIds: ['key_a'] }), undefined],
    [
      'a key that is disabled',
      update({ keyIds: ['key_a'], keys: [key('a', { disabled: true })] }),
      { keyDisabled: true },
    ],
    [
      'a secret that was replaced',
      update({
        keyIds: ['key_a'],
        keys: [key('a', { secrets: [{ id: 'sec_b', digest: 'b', endsAt: null }] })],
      }),
      undefined,
    ],
    ['a key without secrets', update({ keyIds: ['key_a'], keys: [key('a', { secrets: [] })] }), undefined],
    [
      'a tenant that is suspended',
      update({ tenantIds: ['acme'], tenants: [tenant('acme', { suspended: true })] }),
      { tenantSuspended: true },
    ],
    ['a tenant that is gone', update({ tenantIds: ['acme'] }), undefined],
    [
      'another catalogue',
      update({ catalogue: { ...catalogue, models: [] } }),
      { catalogue: { ...catalogue, models: [] } },
    ],
    [
      'a catalogue without its tier, and leaves it to be looked up',
      update({ catalogue: { ...catalogue, priorities: new Map() } }),
      undefined,
    ],
    ['what does not concern it', update({ keyIds: ['key_x'], tenantIds: ['other'] }), { keyId: 'key_a' }],
  ])('applies %s', (_, applied, state) => {
    index.apply(applied)
    if (state) expect(stateOf('a')).toMatchObject(state)
    else expect(stateOf('a')).toBeUndefined()
  })

  it('has both secrets of a key during a rotation, each with its own end', () => {
    const secrets = [
      { id: 'sec_a', digest: 'a', endsAt: 1_000 },
      { id: 'sec_b', digest: 'b', endsAt: null },
    ]
    index.apply(update({ keyIds: ['key_a'], keys: [key('a', { secrets })] }))
    expect([stateOf('a')?.secretEndsAt, stateOf('b')?.secretEndsAt]).toEqual([1_000, null])
  })

  it('removes the keys of a deleted tenant', () => {
    index.apply(update({ tenantIds: ['acme'] }))
    expect(index.size).toBe(0)
  })

  it('looks up the secrets of a key that may have changed, also those that need no client_id, until it is read again', () => {
    const imported = { scheme: 'sha256-lookup', hash: 'ab' } as const
    const known = key('e', { secrets: [{ id: 'sec_e', digest: 'e', endsAt: null, imported }] })
    index.put(known)
    for (let count = 0; count < 2; count++) index.forget({ kind: 'key', id: 'key_e' })
    expect([stateOf('e'), index.lookups.digestOf('ab'), index.lookups.size]).toEqual([undefined, 'e', 1])
    index.apply(update({ keyIds: ['key_e'], keys: [known] }))
    expect([stateOf('e') !== undefined, index.lookups.digestOf('ab')]).toEqual([true, 'e'])
    index.forget({ kind: 'key', id: 'key_e' })
    index.apply(update({ keyIds: ['key_e'] }))
    expect([index.lookups.digestOf('ab'), index.lookups.size]).toEqual([undefined, 0])
  })

  it('does not know the keys of a removed tenant, until it is put again', () => {
    index.forget({ kind: 'tenant', id: 'acme' })
    expect(stateOf('a')).toBeUndefined()
    index.putTenant(tenant('acme'))
    expect(stateOf('a')).toBeDefined()
  })

  it('holds no more keys than its limit, reports it, and keeps changing those it has', () => {
    for (const name of ['b', 'c']) index.put(key(name))
    expect(index.overflowed).toBe(false)
    index.put(key('d'))
    expect([index.size, index.overflowed, stateOf('d')]).toEqual([3, true, undefined])
    index.apply(update({ keyIds: ['key_a'], keys: [key('a', { disabled: true })] }))
    expect(stateOf('a')?.keyDisabled).toBe(true)
    index.remove('key_b')
    index.put(key('d'))
    expect(stateOf('d')).toBeDefined()
  })

  it('removes what has ended, and nothing that may still be usable', () => {
    index.put(key('b', { expiresAt: 1_000 }))
    const secrets = [
      { id: 'sec_c', digest: 'c', endsAt: 500 },
      { id: 'sec_d', digest: 'd', endsAt: 1_001 },
    ]
    index.put(key('c', { secrets }))
    index.removeEnded(999)
    expect(index.size).toBe(3)
    index.removeEnded(1_000)
    expect([...index.keyIds()]).toEqual(['key_a', 'key_c'])
    index.removeEnded(1_001)
    expect([...index.keyIds()]).toEqual(['key_a'])
  })
})
