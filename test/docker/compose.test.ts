import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { asPattern, blocksOf, readReadme, repository, runAll } from '../support/readme.ts'

/**
 * The compose installation, as the README starts and uses it: from nothing to a request that Envoy lets through.
 * Where containers reach no network of their own while they are built, MINTMARK_DOCKER_BUILD_NETWORK=host helps.
 */
const docker = spawnSync('docker', ['info']).status === 0
const required = process.env.MINTMARK_REQUIRE_DOCKER === '1'

const steps = blocksOf(await readReadme(), 'bash')
const env: NodeJS.ProcessEnv = { ...process.env, COMPOSE_PROJECT_NAME: `mintmark-test-${process.pid}` }
const ports: Record<string, string> = {}
const network = process.env.MINTMARK_DOCKER_BUILD_NETWORK

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

  it('goes from nothing to requests accepted and refused by Envoy, as the README says', async () => {
    expect(steps.length).toBeGreaterThan(2)
    const commands = steps.map(step => here(step.command))
    const outputs = await runAll(commands, { cwd: repository, env, preamble: PREAMBLE })
    for (const [index, step] of steps.entries()) {
      expect(outputs[index], step.command).toMatch(asPattern(step.expected))
    }
  }, 300_000)

  it.each([
    ['does not run as root', 'id -u', '1000'],
    [
      'needs no root filesystem that can be written',
      'touch /app/x 2>/dev/null || echo read-only',
      'read-only',
    ],
    [
      'has no development or optional package',
      'ls node_modules node_modules/@* | grep -cE "^(vitest|typescript|node-(bin|linux|darwin|win)|linux-x64)" || true',
      '0',
    ],
    ['has no source and no test', 'ls', 'db\ndist\nnode_modules\npackage.json'],
  ])('the image %s', async (_, command, expected) => {
    const run = `docker run --rm --read-only --entrypoint sh mintmark -c '${command}'\n`
    const [output = ''] = await runAll([run], { cwd: repository, env })
    expect(output.trim()).toBe(expected)
  })
})

const here = (text: string) =>
  text
    .replaceAll('localhost:8080', `localhost:${ports.PUBLIC_PORT}`)
    .replaceAll('localhost:8081', `localhost:${ports.ADMIN_PORT}`)
    .replaceAll('localhost:10000', `localhost:${ports.GATEWAY_PORT}`)
