import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FORM, post } from '../oauth/token-post.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let secret: string
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ secret } = await mintmark.tenantWithKey())
})
afterAll(() => mintmark.stop())

const GRANT = 'grant_type=client_credentials'
const ask = (parameters: string) => post(mintmark, `client_secret=${secret}&${parameters}`)

describe('RFC 6749 §3.2: a parameter', () => {
  it.each([
    ['without a value is treated as omitted', `${GRANT}&scope=&audience=&resource=&client_id=`],
    ['without a value or an equals sign is treated as omitted', `${GRANT}&scope&audience`],
    ['that is not known is ignored', `${GRANT}&nonsense=1&prompt=login`],
    ['may be empty between two ampersands', `&&${GRANT}&&`],
  ])('%s', async (_, parameters) => {
    expect(await ask(parameters)).toMatchObject({ status: 200 })
  })

  it.each(['grant_type', 'client_id', 'client_secret', 'scope', 'audience', 'nonsense'])(
    'must not be repeated: %s',
    async name => {
      const once = new URLSearchParams({
        grant_type: 'client_credentials',
        client_secret: secret,
        [name]: 'a',
      })
      const answer = await post(mintmark, `${once}&${name}=a`)
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    },
  )
})

describe('RFC 6749 rejects', () => {
  it.each([
    ['§4.4.2: no grant_type', '', 'invalid_request'],
    ['§4.4.2: an empty grant_type', 'grant_type=', 'invalid_request'],
    ['§4.4.2: a grant type in another case', 'grant_type=Client_Credentials', 'unsupported_grant_type'],
    ['§4.5: an unknown grant type', 'grant_type=urn:example:nonsense', 'unsupported_grant_type'],
    [
      '§4.3: the password grant (RFC 9700 §2.4)',
      'grant_type=password&username=a&password=b',
      'unsupported_grant_type',
    ],
    ['§6: the refresh grant', 'grant_type=refresh_token&refresh_token=x', 'unsupported_grant_type'],
    ['§3.3: a scope that is not granted', `${GRANT}&scope=admin`, 'invalid_scope'],
    ['§3.3: granted and other scopes together', `${GRANT}&scope=inference+admin`, 'invalid_scope'],
    ['§3.3: a granted scope in another case', `${GRANT}&scope=Inference`, 'invalid_scope'],
    ['Appendix A.4: a scope with a quote', `${GRANT}&scope=%22inference%22`, 'invalid_scope'],
    ['Appendix A.4: a scope with two spaces', `${GRANT}&scope=inference++inference`, 'invalid_scope'],
    ['Appendix A.4: a scope with a space at its end', `${GRANT}&scope=inference+`, 'invalid_scope'],
    ['Appendix A.4: a scope outside ASCII', `${GRANT}&scope=inf%C3%A9rence`, 'invalid_scope'],
  ])('%s', async (_, parameters, error) => {
    expect(await ask(parameters)).toMatchObject({ status: 400, body: { error } })
  })
})

describe('RFC 6749 Appendix B: the body is a form in UTF-8', () => {
  const withType = (contentType: string | undefined) =>
    request(`${mintmark.service.urls.public}/oauth/token`, {
      method: 'POST',
      headers: contentType === undefined ? {} : { 'content-type': contentType },
      // Bytes, so that fetch adds no Content-Type of its own.
      body: Buffer.from(`${GRANT}&client_secret=${secret}`),
    })

  it.each([
    ['an explicit UTF-8', `${FORM}; charset=UTF-8`],
    ['another case', 'Application/X-WWW-Form-Urlencoded'],
  ])('the Content-Type may have %s', async (_, contentType) => {
    expect(await withType(contentType)).toMatchObject({ status: 200 })
  })

  it.each([
    ['missing', undefined],
    ['JSON', 'application/json'],
    ['multipart', 'multipart/form-data; boundary=x'],
    ['a form in another charset', `${FORM}; charset=utf-16`],
  ])('the Content-Type may not be %s', async (_, contentType) => {
    expect(await withType(contentType)).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })
})

describe('RFC 6749 §3.2: the token endpoint accepts POST only', () => {
  it.each(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('%s is 405 with Allow', async method => {
    const { status, headers } = await request(`${mintmark.service.urls.public}/oauth/token`, { method })
    expect({ status, allow: headers.get('allow') }).toEqual({ status: 405, allow: 'POST' })
  })
})
