import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { post } from '../oauth/token-post.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'

const BLUE = 'https://blue.example.test/v1'
const GREEN = 'urn:example:green'

let mintmark: TestService
let secret: string
beforeAll(async () => {
  mintmark = await startTestService()
  const key = await mintmark.tenantWithKey({ audiences: ['vllm', BLUE, GREEN] })
  secret = key.secret
})
afterAll(() => mintmark.stop())

const ask = (more: string) => post(mintmark, `grant_type=client_credentials&client_secret=${secret}&${more}`)

describe('RFC 8707 §2: the audience of a token is', () => {
  it.each([
    ['the first granted one, when nothing is asked for', '', 'vllm'],
    ['a resource', `resource=${BLUE}`, BLUE],
    ['a resource that is a URN', `resource=${GREEN}`, GREEN],
    ['every resource, as a list', `resource=${GREEN}&resource=${BLUE}`, [GREEN, BLUE]],
    ['a resource that is named twice, once', `resource=${BLUE}&resource=${BLUE}`, BLUE],
    ['an audience by name', 'audience=vllm', 'vllm'],
    ['an audience and a resource together', `audience=vllm&resource=${BLUE}`, ['vllm', BLUE]],
    ['an audience and the same as a resource, once', `audience=${BLUE}&resource=${BLUE}`, BLUE],
    ['what is left of resources when empty ones are taken as omitted', `resource=&resource=${BLUE}`, BLUE],
  ])('%s', async (_, more, audience) => {
    const { status, body } = await ask(more)
    expect(status).toBe(200)
    const [first = ''] = [audience].flat()
    expect((await externalVerifier(mintmark, first)(body.access_token)).payload.aud).toEqual(audience)
  })
})

describe('RFC 8707 §2: invalid_target', () => {
  it.each([
    ['a resource that is not granted', 'resource=https://red.example.test/'],
    ['a granted and another resource together', `resource=${BLUE}&resource=https://red.example.test/`],
    ['a granted resource with another path', `resource=${BLUE}/`],
    ['a granted resource with a fragment', `resource=${BLUE}%23part`],
    ['a relative resource', 'resource=/v1'],
    ['a resource that is no URI', 'resource=blue'],
    ['a granted audience that is no URI, as a resource', 'resource=vllm'],
    ['an audience that is not granted', 'audience=elsewhere'],
  ])('%s', async (_, more) => {
    expect(await ask(more)).toMatchObject({ status: 400, body: { error: 'invalid_target' } })
  })

  it('an audience is requested once, or as resources', async () => {
    expect(await ask(`audience=vllm&audience=${BLUE}`)).toMatchObject({
      status: 400,
      body: { error: 'invalid_request' },
    })
  })
})
