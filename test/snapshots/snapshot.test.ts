import { expect, it } from 'vitest'
import { adoptedIndex } from '../../src/directory/adopted-index.ts'
import type { KnownKey } from '../../src/directory/known-key.ts'
import {
  decodeSnapshot,
  decodeTombstones,
  encodeSnapshot,
  type SnapshotContent,
} from '../../src/snapshots/snapshot.ts'

const RIGHTS = { tier: null, scopes: ['inference'], models: null, adapters: null, audiences: null }
const shared = { ...RIGHTS, tokenTtlSeconds: null, limits: {} }
const own = { ...shared, tokenTtlSeconds: 60, limits: { requests_per_minute: 7 } }

const key = (id: string, more: Partial<KnownKey> = {}): KnownKey => ({
  ...{ id: `key_${id}`, tenantId: 'acme', expiresAt: null, disabled: false, epoch: `e${id}` },
  ...{ rights: shared, secrets: [{ id: `sec_${id}`, digest: `d${id}`, endsAt: null }] },
  ...more,
})

const KEYS: KnownKey[] = [
  key('plain'),
  key('ending', { expiresAt: 1_800_000_000_000 }),
  key('disabled', { disabled: true }),
  key('incomplete', { incomplete: true }),
  key('unverifiable', { incomplete: true, unverifiable: true }),
  key('both', { disabled: true, incomplete: true, rights: own }),
  key('imported', {
    secrets: [
      {
        ...{ id: 'sec_i', digest: 'name', endsAt: 5 },
        imported: { scheme: 'bcrypt', hash: '$2b$04$' },
        proof: { pepperId: 'p1', digest: 'AAAA' } as never,
      },
    ],
  }),
  // More than one part.
  ...Array.from({ length: 600 }, (_, number) => key(`n${number}`, { rights: number % 2 ? shared : own })),
]

const MARK = { id: 7, hash: 'ab' }
const content: SnapshotContent = {
  signingKeys: { rows: [], installation: { id: 'i' } as never, modifiedAt: 3 },
  gone: ['key key_gone', 'tenant gone'],
  denied: [{ claim: 'jti', value: 'j', tenantId: null, endsAt: 9 }],
  introspectors: [],
  directory: {
    ...{ priorities: [['standard', 0]], tierLimits: [['standard', { tokens_per_day: 5 }]], models: ['base'] },
    ...{ modelFacts: [], overflowed: true, incomplete: ['key_incomplete'] },
    tenants: [{ id: 'acme', suspended: true, epoch: 'e', stalenessSeconds: 0, rights: {} as never }],
    keys: KEYS,
  },
  identities: { providers: [], keys: [], fetched: [] },
  tombstones: {
    mark: MARK,
    ended: [{ kind: 'key_revoked', id: 'key_r', owner: 'acme', at: 4 }],
    pending: [{ kind: 'tenant_suspended', id: 'acme', owner: null, at: 6 }],
  },
}

it('a snapshot is read as it was written: each flag of a key, and rights that keys share', () => {
  const read = decodeSnapshot([...encodeSnapshot(content)])
  expect(read).toEqual(content)
  const rights = new Set(read.directory.keys.map(each => each.rights))
  expect(rights.size, 'objects in memory').toBe(2)
})

it('a process that starts from it knows that it may lack an imported secret, as the one that wrote it', () => {
  const { directory } = decodeSnapshot(encodeSnapshot(content))
  const own = { tokenTtlSeconds: 300, maxKeys: 10_000, lookupName: (sha256: string) => sha256 }
  expect(adoptedIndex(directory, own).lookups.isIncomplete).toBe(true)
  const without = directory.keys.map(({ unverifiable: _, ...each }) => each)
  expect(adoptedIndex({ ...directory, keys: without }, own).lookups.isIncomplete).toBe(false)
})

it('what ended is read without the rest', () => {
  const { ended, pending } = content.tombstones ?? { ended: [], pending: [] }
  const expected = { mark: MARK, installation: 'i', ended, pending, denied: content.denied }
  expect(decodeTombstones(encodeSnapshot(content))).toEqual(expected)
})

it('a snapshot that lacks a part is none', () => {
  const parts = [...encodeSnapshot(content)]
  for (const left of [parts.slice(0, -1), [parts[0] as Buffer, ...parts.slice(2)]])
    expect(() => decodeSnapshot(left)).toThrow('do not add up')
})
