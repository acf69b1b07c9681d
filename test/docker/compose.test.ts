import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { asPattern, blocksOf, readReadme, repository, runAll } from '../support/readme.ts'
import { expectedContents, IMPORT_ALL, LIST_CONTENTS, NOT_IMPORTED } from './image-contents.ts'

/**
 * The compose installation, started and used as in the README: from nothing to a request that Envoy accepts. Where
 * containers have no network while they are built, MINTMARK_DOCKER_BUILD_NETWORK=host helps.
 */
const docker = spawnSync('docker', ['info']).status === 0
const required = process.env.MINTMARK_REQUIRE_DOCKER === '1'

const steps = blocksOf(await readReadme(), 'bash')
const env: NodeJS.ProcessEnv = { ...process.env, COMPOSE_PROJECT_NAME: `mintmark-test-${process.pid}` }
const ports: Record<string, string> = {}
const network = process.env.MINTMARK_DOCKER_BUILD_NETWORK

/** A complete configuration, with dummy secrets. */
const CONFIGURED = [
  'MINTMARK_ISSUER=https://tokens.example.com',
  'DATABASE_URL=postgres://app@db.example.com/mintmark',
  `MINTMARK_PEPPERS=one:${Buffer.alloc(32, 1).toString('base64url')}`,
  `MINTMARK_ENCRYPTION_KEYS=one:${Buffer.alloc(32, 2).toString('base64url')}`,
].flatMap(variable => ['-e', variable])

/** Old installations have docker-compose for "docker compose"; an image that was built above is not built again. */
const PREAMBLE = `docker() {
  if [ "$1" != compose ]; then command docker "$@"; return; fi
  shift
  local arguments=()
  for argument; do [ "$argument" = --build ] && [ -n "\${PREBUILT:-}" ] || arguments+=("$argument"); done
  if command docker compose version >/dev/null 2>&1; then command docker compose "\${arguments[@]}"
  else docker-compose "\${arguments[@]}"; fi
}
`

describe.skipIf(!docker && !required)('docker compose', () => {
  beforeAll(async () => {
    for (const name of ['PUBLIC_PORT', 'ADMIN_PORT', 'GATEWAY_PORT']) ports[name] = `${await freePort()}`
    Object.assign(env, ports)
    if (!network) return
    await runAll([`docker build --network=${network} -t mintmark . >&2\n`], { cwd: repository, env })
    env.PREBUILT = '1'
  }, 600_000)

  afterAll(async () => {
    await runAll(['docker compose down --volumes >&2\n'], { cwd: repository, env, preamble: PREAMBLE })
  }, 60_000)

  it('accepts and rejects requests at Envoy, started from nothing as the README says', async () => {
    expect(steps.length).toBeGreaterThan(2)
    const commands = steps.map(step => here(step.command))
    const outputs = await runAll(commands, { cwd: repository, env, preamble: PREAMBLE })
    for (const [index, step] of steps.entries()) {
      expect(outputs[index], step.command).toMatch(asPattern(step.expected))
    }
  }, 300_000)

  it('migrates and connects to Postgres with roles that are no superusers and cannot create roles', async () => {
    const psql = (sql: string) =>
      `docker compose exec -T postgres psql -d mintmark -U postgres -tAc "${sql}"\n`
    const roles =
      "SELECT rolname || ' ' || (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls) FROM pg_roles WHERE rolcanlogin ORDER BY 1"
    const [, login = '', owners = ''] = await runAll(
      [
        'docker compose run --rm -T migrate >&2\n',
        psql(roles),
        psql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"),
      ],
      { cwd: repository, env, preamble: PREAMBLE },
    )
    expect(login.trim().split('\n')).toEqual(['mintmark false', 'mintmark_owner false', 'postgres true'])
    expect(owners.trim()).toBe('mintmark_owner')
  }, 300_000)

  it.each([
    ['does not run as root', 'id -u', '1000'],
    [
      'needs no root filesystem that can be written',
      'touch /app/x 2>/dev/null || echo read-only',
      'read-only',
    ],
    ['has the reference page', 'ls dist/reference/index.html dist/reference/reference.js | wc -l', '2'],
  ])('the image %s', async (_, command, expected) => {
    const run = `docker run --rm --read-only --entrypoint sh mintmark -c '${command}'\n`
    const [output = ''] = await runAll([run], { cwd: repository, env })
    expect(output.trim()).toBe(expected)
  })

  describe('the image', () => {
    const inImage = (options: readonly string[], ...command: string[]) =>
      spawnSync('docker', ['run', '--rm', '--read-only', ...options, 'mintmark', ...command], {
        encoding: 'utf8',
      })
    const evaluate = (script: string) =>
      JSON.parse(inImage(['--entrypoint', 'node'], '--input-type=module', '-e', script).stdout)

    it('contains what runs, and no source, test, generator, trial database or development package', () => {
      expect(evaluate(LIST_CONTENTS)).toEqual(expectedContents())
    })

    it('has every module importable as it is', () => {
      const { modules } = expectedContents()
      expect(evaluate(IMPORT_ALL)).toEqual({ imported: modules.length - NOT_IMPORTED.length, failed: [] })
    })

    it.each<[string, readonly string[], string, number, RegExp]>([
      ['--help', [], '--help', 0, /Usage: mintmark[\s\S]*serve[\s\S]*migrate/],
      ['config', CONFIGURED, 'config', 0, /"issuer": "https:\/\/tokens\.example\.com"/],
      ['serve without a database', [], 'serve', 1, /DATABASE_URL/],
      [
        'serve without a database, outside production',
        ['-e', 'NODE_ENV='],
        'serve',
        1,
        /DATABASE_URL is required/,
      ],
      ['migrate without a database', [], 'migrate', 1, /MIGRATE_DATABASE_URL/],
    ])('runs %s', (_, options, command, status, output) => {
      const ran = inImage(options, command)
      expect(ran.stdout + ran.stderr).toMatch(output)
      expect(ran.status).toBe(status)
    })
  })
})

const here = (text: string) =>
  text
    .replaceAll('localhost:8080', `localhost:${ports.PUBLIC_PORT}`)
    .replaceAll('localhost:8081', `localhost:${ports.ADMIN_PORT}`)
    .replaceAll('localhost:10000', `localhost:${ports.GATEWAY_PORT}`)
