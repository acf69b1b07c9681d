import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * An issuer shaped as GitHub's for Actions: its discovery document, its JWKS at its path and with its members, its RS256 tokens with
 * all of their claims, and the URL at which a job requests one.
 */
export interface GithubIssuer {
  url: string
  port: number
  /** What the runner sets in a job. */
  environment: { ACTIONS_ID_TOKEN_REQUEST_URL: string; ACTIONS_ID_TOKEN_REQUEST_TOKEN: string }
  /** The token of a job, requested as a job does it. */
  tokenOf(job: Job, audience: string): Promise<string>
  stop(): void
}

/** What differs between jobs. */
export interface Job {
  repository: string
  repositoryId: string
  ownerId: string
  event: string
}

const REQUEST_TOKEN = 'token-of-the-runner'

export async function startGithubIssuer(): Promise<GithubIssuer> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  const x5t = createHash('sha1').update(spki).digest('base64url')
  const kid = createHash('sha1').update(spki).digest('hex').toUpperCase()
  const jwks = {
    keys: [{ ...publicKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid, x5t, x5c: [] }],
  }
  const jws = (claims: object) => {
    const header = { typ: 'JWT', alg: 'RS256', x5t, kid }
    const input = [header, claims]
      .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`
  }
  const answer = (req: IncomingMessage, res: ServerResponse) => {
    const { pathname, searchParams } = new URL(req.url ?? '', url)
    const send = (body: object) =>
      res.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body))
    if (pathname === '/.well-known/openid-configuration') return send(discovery(url))
    if (pathname === '/.well-known/jwks') return send(jwks)
    if (pathname !== '/request' || req.headers.authorization !== `Bearer ${REQUEST_TOKEN}`)
      return res.writeHead(401).end()
    const job = JSON.parse(searchParams.get('job') ?? '{}')
    const value = jws(claimsOf(url, job, searchParams.get('audience') ?? ''))
    return send({ count: value.length, value })
  }
  const server = createServer(answer)
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    port,
    environment: {
      ACTIONS_ID_TOKEN_REQUEST_URL: `${url}/request?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: REQUEST_TOKEN,
    },
    tokenOf: async (job, audience) => {
      const query = new URLSearchParams({ 'api-version': '2.0', job: JSON.stringify(job), audience })
      const headers = { authorization: `Bearer ${REQUEST_TOKEN}` }
      const { value } = (await (await fetch(`${url}/request?${query}`, { headers })).json()) as {
        value: string
      }
      return value
    },
    stop: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

const discovery = (issuer: string) => ({
  issuer,
  jwks_uri: `${issuer}/.well-known/jwks`,
  subject_types_supported: ['public', 'pairwise'],
  response_types_supported: ['id_token'],
  claims_supported: ['sub', 'aud', 'exp', 'iat', 'iss', 'jti', 'nbf', 'ref', 'repository', 'repository_id'],
  id_token_signing_alg_values_supported: ['RS256'],
  scopes_supported: ['openid'],
})

function claimsOf(iss: string, job: Job, aud: string) {
  const now = Math.floor(Date.now() / 1000)
  const { repository, repositoryId: repository_id, ownerId: repository_owner_id, event: event_name } = job
  const ref = event_name === 'pull_request' ? 'refs/pull/7/merge' : 'refs/heads/main'
  const workflow = `${repository}/.github/workflows/evaluate.yml@${ref}`
  const sha = '5f8c1d2e3b4a59687766554433221100ffeeddcc'
  return {
    ...{ jti: randomUUID(), iss, aud, nbf: now - 300, iat: now, exp: now + 300 },
    sub: `repo:${repository}:${event_name === 'pull_request' ? 'pull_request' : `ref:${ref}`}`,
    ...{ repository, repository_id, repository_owner: repository.split('/')[0], repository_owner_id },
    ...{ repository_visibility: 'private', actor: 'octocat', actor_id: '583231', event_name },
    ...{ ref, ref_type: 'branch', ref_protected: 'true', sha, head_ref: '', base_ref: '' },
    ...{ run_id: '123456', run_number: '10', run_attempt: '1', runner_environment: 'github-hosted' },
    ...{ workflow: 'evaluate', workflow_ref: workflow, workflow_sha: sha },
    ...{ job_workflow_ref: workflow, job_workflow_sha: sha },
  }
}
