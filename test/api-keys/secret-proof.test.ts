import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { SecretProofs } from '../../src/api-keys/imported/secret-proof.ts'
import { Secret } from '../../src/system/secret.ts'

const pepper = (id: string, key = randomBytes(32)) => ({ id, key: new Secret(key) })
const credential = { clientId: 'legacy', hash: '$2b$10$x', secret: 'chosen by a person' }

describe('a proof', () => {
  const proofs = new SecretProofs([pepper('p1')])

  it('is of its client, hash and secret only', () => {
    const proof = proofs.of(credential)
    expect(proofs.holds(proof, credential)).toBe(true)
    for (const other of [{ clientId: 'another' }, { hash: '$2b$10$y' }, { secret: 'guessed' }])
      expect(proofs.holds(proof, { ...credential, ...other })).toBe(false)
  })

  it('does not confuse where one part ends and the next begins', () => {
    const proof = proofs.of({ clientId: 'ab', hash: 'c', secret: 'd' })
    expect(proofs.holds(proof, { clientId: 'a', hash: 'bc', secret: 'd' })).toBe(false)
    expect(proofs.holds(proof, { clientId: 'ab', hash: 'c\0', secret: 'd' })).toBe(false)
  })

  it('cannot be made without the pepper, nor of anything that the database has', () => {
    const proof = new SecretProofs([pepper('p1')]).of(credential)
    expect(proofs.holds(proof, credential)).toBe(false)
    for (const digest of ['', 'AA==', 'x'.repeat(44), Buffer.alloc(32).toString('base64')])
      expect(proofs.holds({ pepperId: 'p1', digest }, credential)).toBe(false)
  })

  it('holds under each pepper that the process has, and under no other', () => {
    const [older, newer] = [pepper('p1'), pepper('p2')]
    const proof = new SecretProofs([older]).of(credential)
    const both = new SecretProofs([newer, older])
    expect([both.knows(proof), both.holds(proof, credential), both.isCurrent(proof)]).toEqual([
      true,
      true,
      false,
    ])
    expect(both.isCurrent(both.of(credential))).toBe(true)
    const without = new SecretProofs([newer])
    expect([without.knows(proof), without.holds(proof, credential)]).toEqual([false, false])
  })
})
