import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseTokenRequest } from '../../src/oauth/token-request.ts'
import { anyText } from '../support/any-text.ts'
import { basicOf, FORM } from './token-post.ts'

const read = (body: string, headers: Record<string, string> = {}) =>
  parseTokenRequest({
    url: '/oauth/token',
    headers: { 'content-type': FORM, ...headers },
    body: Buffer.from(body),
  })

const GRANT = 'grant_type=client_credentials'
const withBasic = (text: string) => read(GRANT, { authorization: basicOf(text) }).credential

/** Encoded by the URL Standard's implementation, not by our own. */
const formEncoded = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)
const percentEncoded = (text: string) => encodeURIComponent(text)

/** Any nonempty Unicode text without NUL, which is always rejected. */
const withoutNul = anyText({ minLength: 1 }).filter(text => !text.includes('\0'))

describe('RFC 6749 §2.3.1: client_id and secret are unchanged by form encoding', () => {
  it.each([
    ['a percent sign', '100%25', '100%'],
    ['a plus sign', 'a%2Bb', 'a+b'],
    ['a plus that stands for a space', 'a+b', 'a b'],
    ['a colon in the secret', 'a%3Ab', 'a:b'],
    ['a bare colon in the secret, which only the first one splits', 'a:b', 'a:b'],
    ['text outside ASCII', 'z%C3%BCrich%F0%9F%94%91', 'zürich🔑'],
    ['bare UTF-8 under the base64', 'zürich', 'zürich'],
  ])('%s', (_, encoded, decoded) => {
    expect(withBasic(`id:${encoded}`)).toEqual({ clientId: 'id', secret: decoded })
  })

  it.each([
    ['form encoding', formEncoded],
    ['percent encoding', percentEncoded],
  ])('any text under %s, in the header', (_, encoded) => {
    fc.assert(
      fc.property(withoutNul, withoutNul, (clientId, secret) => {
        expect(withBasic(`${encoded(clientId)}:${encoded(secret)}`)).toEqual({ clientId, secret })
      }),
    )
  })

  it('any text in the body', () => {
    fc.assert(
      fc.property(withoutNul, withoutNul, (clientId, secret) => {
        const body = new URLSearchParams({
          grant_type: 'client_credentials',
          client_id: clientId,
          client_secret: secret,
        })
        const sent = secret.replace(/\r?\n$/, '')
        expect(read(body.toString()).credential).toEqual({ clientId, secret: sent })
      }),
    )
  })
  it.each(['\n', '\r\n'])('a key read from a file, without its final newline', end => {
    const body = new URLSearchParams({ grant_type: 'client_credentials', client_secret: `mmk_key${end}` })
    expect(read(body.toString()).credential).toMatchObject({ secret: 'mmk_key' })
  })
})

describe('An ambiguous request is rejected', () => {
  it.each([
    ['half a percent escape in the header', () => withBasic('id:a%2')],
    ['a percent escape of no digits', () => withBasic('id:a%zz')],
    ['percent escapes that are not UTF-8', () => withBasic('id:%C3%28')],
    ['a NUL in the header', () => withBasic('id:a%00')],
    ['no colon under the base64', () => withBasic('id')],
    [
      'bytes under the base64 that are not UTF-8',
      () => read(GRANT, { authorization: `Basic ${Buffer.from([0x69, 0x3a, 0xff]).toString('base64')}` }),
    ],
    ['half a percent escape in the body', () => read(`${GRANT}&client_secret=a%2`)],
    ['a NUL in the body', () => read(`${GRANT}&client_secret=a%00`)],
  ])('%s', (_, reading) => {
    expect(reading).toThrow(/Invalid encoding|form-encoded/)
  })

  it.each([
    ['base64 without its padding', 'aWQ6YQ'],
    ['base64 with more padding than needed', 'aWQ6YWI=='],
    ['the URL-safe alphabet', 'aWQ6w7_Dvw=='],
    ['base64 with bits left over', 'aWQ6YR=='],
    ['a line break', 'aWQ6\tYQ=='],
    ['nothing', ''],
  ])('loose base64: %s', (_, encoded) => {
    expect(() => read(GRANT, { authorization: `Basic ${encoded}` })).toThrow(/Invalid Authorization header/)
  })
})

it('reads scope once, and every resource (RFC 8707 §2)', () => {
  const { scopes, resources } = read(
    `${GRANT}&client_secret=k&scope=a+b+a&resource=https://x.test/1&resource=urn:y`,
  )
  expect({ scopes, resources }).toEqual({ scopes: ['a', 'b'], resources: ['https://x.test/1', 'urn:y'] })
})

describe('What other clients send', () => {
  it.each(['utf-8', '"UTF-8"', 'utf8', 'us-ascii', 'ISO-8859-1'])(
    'charset=%s: a percent-encoded body means the same',
    charset => {
      const headers = { 'content-type': `${FORM}; charset=${charset}` }
      const { credential } = read(`${GRANT}&client_secret=z%C3%BCrich`, headers)
      expect(credential).toEqual({ clientId: undefined, secret: 'zürich' })
    },
  )

  it('charset=utf-16 is rejected', () => {
    expect(() => read(GRANT, { 'content-type': `${FORM}; charset=utf-16` })).toThrow(/Content-Type/)
  })

  it('an empty user in Basic is no client_id, as in the body', () => {
    expect(withBasic(':secret')).toEqual({ clientId: undefined, secret: 'secret' })
    const { credential } = read(`${GRANT}&client_id=acme`, { authorization: basicOf(':secret') })
    expect(credential).toEqual({ clientId: 'acme', secret: 'secret' })
  })
})
