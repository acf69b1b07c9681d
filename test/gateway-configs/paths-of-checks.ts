import { describe, expect, it } from 'vitest'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment } from './check-environment.ts'
import { send } from './client.ts'

/**
 * Paths that one parser may read as the list of models, which a gateway passes to Mintmark, and another as /check on the same
 * listener, whose answer has a token for the API key.
 */
const PATHS = [
  '/check',
  '/check/v1/models',
  '/check?/v1/models',
  '/check#/v1/models',
  '/./check',
  '//check',
  '/check/../v1/models',
  '/check/%2e%2e/v1/models',
  '/check/.%2e/v1/models',
  '/check/.%2E//v1/models',
  '//check/../v1/models',
  '/check//../v1/models',
  '/check/x/../../v1/models',
  '/check/..;/v1/models',
  '/check/..\\v1/models',
  '/check%2f..%2fv1/models',
  '/check/..%2fv1/models',
  '/check/../v1/models?limit=1',
  '/check/../v1//models',
  '/check/../v1/models/llama-3-8b',
  '/v1/models/../../check',
  '/v1/models/%2e%2e/%2e%2e/check',
  '/v1/models/..%2f..%2fcheck',
  '/v1/models/..%5c..%5ccheck',
  '/v1/models//../../../check',
  '/v1/models/../../check/../v1/models',
  '/v1/models?/../../check',
  '/v1/models#/../../check',
  '/v1/models/..;/..;/check',
  'http://inference.example.com/check',
  'http://inference.example.com/check/../v1/models',
]

/** A client does not receive the answer to a check, in which its API key has become a token. */
export function checkPathsOfChecks(
  name: string,
  expected: Expected,
  environment: () => CheckEnvironment,
): void {
  describe.skipIf(expected.absent)(`${name} and Mintmark's path for checks`, () => {
    it.each(PATHS)('does not answer as a check does: GET %s', async path => {
      const { gateway, acme, upstream } = environment()
      for (const headers of [
        [['Authorization', `Bearer ${acme.secret}`]],
        [['X-Api-Key', acme.secret]],
      ] satisfies [string, string][][]) {
        const answer = await send(gateway.url, { method: 'GET', path, headers })
        // What a gateway normalizes before it compares may be the list of models.
        if (answer.status === 200)
          expect(JSON.parse(answer.text).object).toBe(path.includes('llama') ? 'model' : 'list')
        else expect(answer.status).toBeGreaterThanOrEqual(300)
        expect(`${JSON.stringify(answer.headers)}${answer.text}`).not.toMatch(/eyJ/)
        for (const header of ['authorization', 'x-tenant-id', 'x-envoy-auth-headers-to-remove'])
          expect(answer.headers).not.toHaveProperty(header)
        expect(upstream.requests).toEqual([])
      }
    })
  })
}
