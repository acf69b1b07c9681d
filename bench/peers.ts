import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../test/support/free-port.ts'
import { query, withDatabase } from '../test/support/global-setup.ts'
import { answersOf, TOKEN } from './answers.ts'
import { LOAD_CORE, SERVER_CORE, startCeiling, startMintmark, startOidcProvider } from './contestants.ts'
import type { Installation } from './installation.ts'
import { hydraProgram, keycloakHome } from './peer-programs.ts'
import { type ServerProcess, startProgram } from './process.ts'
import { interleave, type Result } from './rounds.ts'
import { CLAIMS } from './servers/claims.ts'

const REALM = 'bench'
const TOKEN_SECONDS = 300
/** Fewer than in the other tables, for servers that take long for each request. */
const CONNECTIONS = 16

/**
 * Mintmark, oidc-provider, Keycloak and Hydra next to the bare server, one core each: client_credentials with the same
 * client, JWTs signed with ES256. Keycloak and Hydra use this run's Postgres, which is not held to the core, and their
 * own default settings where nothing else is said.
 */
export async function comparePeers(
  postgres: string,
  installation: Installation,
  directory: string,
  pace: { rounds: number; seconds: number },
): Promise<Result[]> {
  const one = {
    connections: CONNECTIONS,
    seconds: pace.seconds,
    core: LOAD_CORE,
    credentials: installation.first,
  }
  const servers: ServerProcess[] = []
  const started = async (server: Promise<ServerProcess>) => {
    servers.push(await server)
    return server
  }
  try {
    const mintmark = await started(startMintmark(installation, directory))
    const ceiling = await started(
      startCeiling(installation, await answersOf(mintmark, installation), directory),
    )
    const provider = await started(startOidcProvider(installation, directory))
    const keycloak = await started(startKeycloak(postgres, installation, directory))
    const hydra = await started(startHydra(postgres, installation, directory))
    const keycloakToken = `/realms/${REALM}/protocol/openid-connect/token`
    return await interleave(
      [
        { name: 'bare node:http, the same cryptography', server: ceiling, load: { ...one, path: TOKEN } },
        { name: 'oidc-provider', server: provider, load: { ...one, path: '/token' } },
        { name: 'Keycloak', server: keycloak, load: { ...one, path: keycloakToken } },
        { name: 'Ory Hydra', server: hydra, load: { ...one, path: '/oauth2/token' } },
        { name: 'Mintmark, one key', server: mintmark, load: { ...one, path: TOKEN } },
      ],
      pace.rounds,
    )
  } finally {
    await Promise.all(servers.map(server => server.stop()))
  }
}

const clientId = ({ apiKey }: Installation) => `key_${apiKey.slice(4, 20)}`

async function newDatabase(postgres: string, name: string): Promise<string> {
  const database = `${name}_bench_${randomBytes(4).toString('hex')}`
  await query(postgres, `CREATE DATABASE ${database}`)
  return withDatabase(postgres, database)
}

/** Keycloak in production mode, with a realm of one client. */
async function startKeycloak(
  postgres: string,
  installation: Installation,
  directory: string,
): Promise<ServerProcess> {
  const home = join(directory, 'keycloak')
  cpSync(keycloakHome(), home, { recursive: true })
  mkdirSync(join(home, 'data', 'import'), { recursive: true })
  writeFileSync(join(home, 'data', 'import', `${REALM}-realm.json`), JSON.stringify(realm(installation)))
  const kc = join(home, 'bin', 'kc.sh')
  execFileSync(kc, ['build', '--db=postgres', '--cache=local'], { stdio: 'ignore' })
  const { hostname, port, pathname, username, password } = new URL(await newDatabase(postgres, 'keycloak'))
  const url = `http://127.0.0.1:${await freePort()}`
  return startProgram({
    core: SERVER_CORE,
    directory,
    command: [
      kc,
      'start',
      '--optimized',
      '--import-realm',
      '--http-enabled=true',
      '--http-host=127.0.0.1',
      `--http-port=${new URL(url).port}`,
      '--hostname-strict=false',
      `--db-url=jdbc:postgresql://${hostname}:${port}${pathname}`,
      `--db-username=${username}`,
    ],
    env: { KC_DB_PASSWORD: password || 'none', HOME: home },
    ready: () => answers(url, `/realms/${REALM}/protocol/openid-connect/certs`),
  })
}

function realm(installation: Installation): object {
  const claim = ([name, value]: [string, unknown]) => ({
    name,
    protocol: 'openid-connect',
    protocolMapper: 'oidc-hardcoded-claim-mapper',
    config: {
      'claim.name': name,
      'claim.value': typeof value === 'string' ? value : JSON.stringify(value),
      'jsonType.label': typeof value === 'string' ? 'String' : 'JSON',
      'access.token.claim': 'true',
    },
  })
  return {
    realm: REALM,
    enabled: true,
    sslRequired: 'none',
    accessTokenLifespan: TOKEN_SECONDS,
    defaultSignatureAlgorithm: 'ES256',
    components: {
      'org.keycloak.keys.KeyProvider': [
        {
          name: 'ecdsa',
          providerId: 'ecdsa-generated',
          config: {
            priority: ['100'],
            enabled: ['true'],
            active: ['true'],
            ecdsaEllipticCurveKey: ['P-256'],
          },
        },
      ],
    },
    clients: [
      {
        clientId: clientId(installation),
        secret: installation.apiKey,
        protocol: 'openid-connect',
        publicClient: false,
        standardFlowEnabled: false,
        serviceAccountsEnabled: true,
        protocolMappers: Object.entries(CLAIMS).map(claim),
      },
    ],
  }
}

/** Hydra with JWT access tokens and one client. It stores each token, and compares secrets by PBKDF2, its default. */
async function startHydra(
  postgres: string,
  installation: Installation,
  directory: string,
): Promise<ServerProcess> {
  const program = hydraProgram()
  const dsn = new URL(await newDatabase(postgres, 'hydra'))
  dsn.searchParams.set('sslmode', 'disable')
  // By default it has a few connections, and each request takes a second one while it holds the first: none ends.
  dsn.searchParams.set('max_conns', '80')
  dsn.searchParams.set('max_idle_conns', '80')
  const [url, admin] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`]
  const env = {
    DSN: dsn.href,
    SECRETS_SYSTEM: randomBytes(24).toString('hex'),
    URLS_SELF_ISSUER: url,
    SERVE_PUBLIC_HOST: '127.0.0.1',
    SERVE_PUBLIC_PORT: new URL(url).port,
    SERVE_ADMIN_HOST: '127.0.0.1',
    SERVE_ADMIN_PORT: new URL(admin).port,
    STRATEGIES_ACCESS_TOKEN: 'jwt',
    TTL_ACCESS_TOKEN: `${TOKEN_SECONDS}s`,
    LOG_LEVEL: 'warn',
    SQA_OPT_OUT: 'true',
  }
  execFileSync(program, ['migrate', 'sql', '-e', '--yes'], { env, stdio: 'ignore' })
  const server = await startProgram({
    core: SERVER_CORE,
    directory,
    command: [program, 'serve', 'all', '--dev'],
    env,
    ready: () => answers(url, '/health/ready'),
  })
  const post = (path: string, body: object) => postJson(admin + path, body)
  // The newest key of this set signs access tokens.
  await post('/admin/keys/hydra.jwt.access-token', { alg: 'ES256', use: 'sig', kid: 'bench' })
  await post('/admin/clients', {
    client_id: clientId(installation),
    client_secret: installation.apiKey,
    grant_types: ['client_credentials'],
    token_endpoint_auth_method: 'client_secret_basic',
    metadata: CLAIMS,
  })
  return server
}

async function postJson(url: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`)
}

async function answers(url: string, path: string): Promise<{ public: string } | undefined> {
  const answer = await fetch(url + path).catch(() => undefined)
  return answer?.ok ? { public: url } : undefined
}
