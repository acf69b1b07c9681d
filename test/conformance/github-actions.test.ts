import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runProgram } from '../clients/run-program.ts'
import { bundled } from '../support/bundled-source.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { externalVerifier } from '../tokens/external-verifier.ts'
import { type GithubIssuer, type Job, startGithubIssuer } from './github-issuer.ts'

/** Jobs of an issuer shaped as GitHub's, through clients that are not ours, by the rule of docs/guides/workload-identity.md. */
const AUDIENCE = 'https://tokens.example.com'
const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const [JWT, ID_TOKEN] = ['jwt', 'id_token'].map(type => `urn:ietf:params:oauth:token-type:${type}`) as [
  string,
  string,
]
const JOB: Job = { repository: 'acme/app', repositoryId: '5678', ownerId: '1234', event: 'push' }

let mintmark: TestService
let github: GithubIssuer
let issuer: URL
let key: string
beforeAll(async () => {
  // Unset: http://localhost:<public port>.
  mintmark = await startTestService({ env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost' } })
  github = await startGithubIssuer()
  issuer = new URL(mintmark.service.issuer)
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  const provider = await mintmark.admin('POST', '/identity-providers', {
    kind: 'github-actions',
    issuer: github.url,
    audiences: [AUDIENCE],
    allow_addresses: [`127.0.0.1/32:${github.port}`],
  })
  const claims = { repository_owner_id: '1234', repository_id: '5678', event_name: ['push', 'schedule'] }
  const credential = { type: 'federated', provider: provider.body.id, claims }
  key = (await mintmark.admin('POST', '/tenants/acme/workload-keys', { credential })).body.key
})
afterAll(async () => {
  github.stop()
  await mintmark.stop()
})

const expectOurs = async (token: string) =>
  expect((await externalVerifier(mintmark)(token)).payload).toMatchObject({ sub: key, tenant: 'acme' })
const refused: [string, Partial<Job>][] = [
  ['of a pull request', { event: 'pull_request' }],
  ['of a stranger who took the name of the repository', { repositoryId: '9999' }],
  ['of a stranger who took the name of the owner', { ownerId: '9999' }],
]

describe.each([
  ['jwt', JWT],
  ['id_token', ID_TOKEN],
])('a job of GitHub Actions, as %s', (_, subject_token_type) => {
  const parameters = async (job: Job) => ({
    subject_token: await github.tokenOf(job, AUDIENCE),
    subject_token_type,
  })

  describe('through oauth4webapi', () => {
    const options = { [oauth.allowInsecureRequests]: true }
    const exchanged = async (job: Job) => {
      const response = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options })
      const server = await oauth.processDiscoveryResponse(issuer, response)
      const as = { client_id: key }
      const given = await parameters(job)
      const answer = await oauth.genericTokenEndpointRequest(server, as, oauth.None(), GRANT, given, options)
      return oauth.processGenericTokenEndpointResponse(server, as, answer)
    }

    it('gets a token', async () => {
      const { access_token, issued_token_type } = await exchanged(JOB)
      expect(issued_token_type).toBe('urn:ietf:params:oauth:token-type:access_token')
      await expectOurs(access_token)
    })

    it.each(refused)('gets none %s', async (_, changed) => {
      await expect(exchanged({ ...JOB, ...changed })).rejects.toMatchObject({
        name: 'ResponseBodyError',
        error: 'invalid_request',
      })
    })
  })

  it('through openid-client gets a token', async () => {
    const options = { execute: [client.allowInsecureRequests] }
    const config = await client.discovery(issuer, key, undefined, client.None(), options)
    const { access_token } = await client.genericGrantRequest(config, GRANT, await parameters(JOB))
    await expectOurs(access_token)
  })

  const python = process.env.MINTMARK_PYTHON ?? join(homedir(), '.cache/mintmark/python/bin/python')
  const lacksAuthlib = !existsSync(python) && process.env.MINTMARK_REQUIRE_GATEWAYS !== '1'
  it.skipIf(lacksAuthlib)('through Authlib gets a token', async () => {
    const script = fileURLToPath(new URL('github_actions.py', import.meta.url))
    const { subject_token: input } = await parameters(JOB)
    const args = [script, `${issuer.origin}/oauth/token`, key, subject_token_type]
    const { status, output, errors } = await runProgram(python, args, { input })
    expect({ status, errors }).toEqual({ status: 0, errors: '' })
    await expectOurs(JSON.parse(output).access_token)
  })
})

describe('mintmark token get --from-github', () => {
  it('requests the token of the job, and prints what it was exchanged for', async () => {
    const { ACTIONS_ID_TOKEN_REQUEST_URL: url, ...given } = github.environment
    const env = {
      PATH: process.env.PATH,
      ...given,
      ACTIONS_ID_TOKEN_REQUEST_URL: `${url}&job=${encodeURIComponent(JSON.stringify(JOB))}`,
      MINTMARK_PUBLIC_URL: mintmark.service.urls.public,
    }
    const args = [bundled('cli'), 'token', 'get', '--from-github', '--identity-audience', AUDIENCE]
    const { status, output, errors } = await runProgram(process.execPath, args, { env })
    expect({ status, errors }).toEqual({ status: 0, errors: '' })
    await expectOurs(output.trim())
  })
})
