import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Environment, PATIENCE_MS } from '../faults/environment/environment.ts'
import { ENVIRONMENT, type Replica } from '../faults/environment/replica.ts'
import { noEnvoy, startEnvoy } from '../gateway-configs/envoy.ts'
import { pilotConfig } from '../gateway-configs/pilot-config.ts'
import { lacksPostgres, startInstalledPostgres } from '../restore-drill/installed-postgres.ts'
import bundleSource, { bundled } from '../support/bundled-source.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { logRecords, send } from '../usage/reports.ts'
import { Operator } from './operator.ts'

/**
 * jobs/ does the jobs of an operator's year on a real Postgres with real processes, by the commands of their pages and nothing else, and
 * prints how long each takes:
 *
 *   npm run jobs
 *
 * Install, back up, a leaked API key, restore, move to another server's database, rotate an API key, an admin token, a signing key, an
 * encryption key and a pepper, a 401 at Istio, an access review, chargeback, move in from LiteLLM. Upgrade and roll back are a drill of their own: npm run
 * upgrade-drill. Ends with "N passed, N failed", which counts jobs.
 */
const missing = lacksPostgres() ?? (noEnvoy ? 'no Envoy' : undefined)
if (missing !== undefined) {
  console.log(`skipped: ${missing}\n0 passed, 0 failed`)
  process.exit(0)
}
const README = 'README.md'
const page = (name: string) => `docs/guides/${name}.md`
/** The columns of LiteLLM's tables that the import needs; it reads others only where they exist. */
const LITELLM = [
  `CREATE TABLE "LiteLLM_BudgetTable" (budget_id text PRIMARY KEY)`,
  `CREATE TABLE "LiteLLM_TeamTable" (team_id text PRIMARY KEY, team_alias text, models text[])`,
  `CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, key_alias text, team_id text, models text[])`,
]
const newSecret = (id: string) => `${id}:${randomBytes(32).toString('base64url')}`

await bundleSource()
const environment = new Environment({ full: false })
const counts = { passed: 0, failed: 0 }
const folder = mkdtempSync(join(tmpdir(), 'mintmark-jobs-'))
environment.onEnd(() => rmSync(folder, { recursive: true }))
try {
  await walk()
} finally {
  await environment.close()
}
console.log(`\n${counts.passed} passed, ${counts.failed} failed`)
process.exit(counts.failed > 0 ? 1 : 0)

async function job(name: string, walked: string, steps: () => Promise<unknown>): Promise<void> {
  const began = performance.now()
  let fault = ''
  try {
    await steps()
    counts.passed++
  } catch (error) {
    counts.failed++
    fault = `  ${error instanceof Error ? error.message : error}`
  }
  const seconds = ((performance.now() - began) / 1_000).toFixed(1)
  console.log(
    `  ${fault ? 'FAILED' : 'ok    '}  ${name.padEnd(28)} ${walked.padEnd(34)} ${seconds.padStart(6)} s${fault}`,
  )
}

async function walk(): Promise<void> {
  const { postgres, bin } = await startInstalledPostgres()
  const otlpPort = await freePort()
  environment.ending(postgres)
  const inDatabase = (url: string, name: string) => url.replace(/\/[^/?]*(\?|$)/, `/${name}$1`)
  await postgres.sql('CREATE DATABASE live', [], 'postgres')
  const owner = inDatabase(postgres.ownerUrl, 'live')
  const urlFile = join(folder, 'database-url')
  writeFileSync(urlFile, inDatabase(postgres.applicationUrl(), 'live'))
  const settings: Record<string, string> = {
    ...{ DATABASE_URL: '', DATABASE_URL_FILE: urlFile, MINTMARK_SNAPSHOT_DIR: join(folder, 'snapshots') },
    ...{ MINTMARK_OTLP_HTTP_PORT: String(otlpPort), MINTMARK_DATABASE_MAX_CONNECTIONS: '8' },
    ...{ MINTMARK_TRUSTED_PROXIES: '10.0.0.0/8' },
    ...{ MINTMARK_SHORT_PUBLISH_LEAD: 'allowed', MINTMARK_PUBLISH_LEAD_SECONDS: '5' },
  }
  const start = () => environment.replica('', settings)
  let replica: Replica | undefined
  const running = () => replica as Replica
  const base = new Operator({
    folder,
    program: bundled('cli'),
    path: bin,
    env: { MIGRATE_DATABASE_URL: owner },
  })
  /** With the address of the replica, and its token. */
  const operator = () =>
    base.with({ MINTMARK_URL: running().urls.admin, MINTMARK_ADMIN_TOKEN: ENVIRONMENT.MINTMARK_ROOT_TOKEN })
  const server = () => base.with({ ...ENVIRONMENT, ...settings })
  async function restart(changed: Record<string, string>): Promise<void> {
    Object.assign(settings, changed)
    await running().process.kill()
    replica = await start()
  }
  async function newKey(): Promise<{ id: string; secret: string }> {
    const { body } = await running().change('/tenants/acme/keys', { name: 'ci' })
    return body
  }
  const statusOf = async (secret: string) => (await running().exchange(secret)).status
  async function expect(what: string, found: unknown, wanted: unknown): Promise<void> {
    if (found !== wanted) throw new Error(`${what}: ${found}, not ${wanted}`)
  }

  await job('install', README, async () => {
    base.reads(README, 'MIGRATE_DATABASE_URL=postgres://mintmark_owner:…@db/mintmark npm run migrate')
    await base.run('db/README.md', 'npm run migrate')
    replica = await start()
    await operator().run(page('kubernetes'), 'mintmark tenant create acme')
    await operator().run(page('kubernetes'), '(umask 077; mintmark key create acme --name first > first.key)')
    // Until a replica has written its first one, doctor rightly misses it.
    await until('the first snapshot', async () => existsSync(join(folder, 'snapshots')), Boolean, PATIENCE_MS)
    const inContainer =
      'docker compose exec -e MINTMARK_ADMIN_TOKEN_FILE=/secrets/root-token mintmark node dist/cli/main.js'
    const { stdout, stderr } = await server().run(
      page('troubleshooting'),
      `${inContainer} doctor`,
      { [inContainer]: 'mintmark' },
      // The issuer has no DNS here.
      [5],
    )
    if (!/: 1 of \d+ checks failed/.test(stderr) || !stderr.includes('discovery'))
      throw new Error(`${stdout}${stderr}`)
    await expect('the exchange of a new key', await statusOf((await newKey()).secret), 200)
  })
  const leaked = await newKey()
  const kept = await newKey()
  const single = await newKey()
  await job('back up', page('backup'), async () => {
    await base.run(page('backup'), 'pg_dump --format=custom --file=mintmark.dump "$MIGRATE_DATABASE_URL"')
    await operator().run(page('backup'), 'mintmark audit checkpoint >> checkpoints')
    await operator().run(page('backup'), 'mintmark audit export > audit.ndjson')
  })
  await job('a leaked API key', page('emergencies'), async () => {
    // At a terminal it asks.
    const values = { '<key>': leaked.id, '"<text>"': '"in a public repository" --yes' }
    await operator().run(page('emergencies'), 'mintmark key revoke <key> --reason "<text>"', values)
    await expect('the exchange of the leaked key', await statusOf(leaked.secret), 401)
  })
  await job('restore', page('restore'), async () => {
    await base.run(
      page('restore'),
      'pg_restore --no-owner --exit-on-error --clean --if-exists --dbname="$MIGRATE_DATABASE_URL" mintmark.dump',
    )
    await base.run(page('restore'), 'mintmark migrate')
    for (const command of ['status', 'reconcile', 'reconcile --apply'])
      await server().run(page('restore'), `mintmark restore ${command}`, {}, [0, 5])
    await expect('the exchange of the leaked key', await statusOf(leaked.secret), 401)
    await expect('the exchange of another key', await statusOf(kept.secret), 200)
  })
  await job('move to another database', page('backup'), async () => {
    await postgres.sql('CREATE DATABASE moved', [], 'postgres')
    const moved = base.with({ MIGRATE_DATABASE_URL: inDatabase(owner, 'moved') })
    base.reads(page('backup'), 'ALTER ROLE mintmark NOLOGIN')
    await postgres.sql('ALTER ROLE mintmark NOLOGIN')
    await base.run(page('backup'), 'pg_dump --format=custom --file=mintmark.dump "$MIGRATE_DATABASE_URL"')
    await moved.run(page('backup'), 'pg_restore --no-owner --exit-on-error', {
      '--exit-on-error': '--exit-on-error --dbname="$MIGRATE_DATABASE_URL" mintmark.dump',
    })
    writeFileSync(urlFile, inDatabase(postgres.applicationUrl(), 'moved'))
    await postgres.sql('ALTER ROLE mintmark LOGIN')
    await postgres.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'live'",
      [],
      'postgres',
    )
    await moved.run(page('backup'), 'mintmark audit verify')
    await until(
      'a new key is exchanged',
      async () => statusOf((await newKey()).secret),
      status => status === 200,
      PATIENCE_MS,
    )
  })
  await job('rotate an API key', page('rotating-secrets'), async () => {
    const { stdout } = await operator().run(page('rotating-secrets'), 'mintmark key rotate <key>', {
      '<key>': kept.id,
    })
    const secret = /mmk_\w{16}_\w{49}/.exec(stdout)?.[0] ?? ''
    await expect('the exchange of the new secret', await statusOf(secret), 200)
    await expect('the exchange of the old one', await statusOf(kept.secret), 200)
  })
  await job('rotate an admin token', page('rotating-secrets'), async () => {
    const create = () =>
      operator().run(page('rotating-secrets'), 'mintmark admin-token create <role>', { '<role>': 'auditor' })
    const [old, next] = [await create(), await create()].map(
      ({ stdout }) => /mma_\w{16}_\w{49}/.exec(stdout)?.[0] ?? '',
    )
    await operator().run(page('rotating-secrets'), 'mintmark admin-token revoke <token>', {
      '<token>': `adm_${old?.slice(4, 20)} --yes`,
    })
    const list = (token = '') =>
      operator()
        .with({ MINTMARK_ADMIN_TOKEN: token })
        .run(page('rotating-secrets'), 'mintmark signing-key list', {}, [0, 3])
    await expect('the exit code with the new one', (await list(next)).code, 0)
    await expect('the exit code with the old one', (await list(old)).code, 3)
  })
  await job('rotate a signing key', page('rotating-secrets'), async () => {
    const list = async () =>
      (await operator().run(page('rotating-secrets'), 'mintmark signing-key list')).stdout
    const kids = async () =>
      (await running().admin('GET', '/signing-keys')).body.data.find(
        (key: { state: string }) => key.state === 'active',
      ).kid
    const before = await kids()
    await operator().run(page('rotating-secrets'), 'mintmark signing-key rotate')
    await until('another one is active', kids, kid => kid !== before, PATIENCE_MS)
    if (!/retiring/.test(await list())) throw new Error('no signing key is retiring')
  })
  for (const [kind, variable, field, id] of [
    ['an encryption key', 'MINTMARK_ENCRYPTION_KEYS', 'encryption_keys.left_on_others', 'e2'],
    ['a pepper', 'MINTMARK_PEPPERS', 'peppers', 'p2'],
  ] as const)
    await job(`rotate ${kind}`, page('rotating-secrets'), async () => {
      const [old, next] = [settings[variable] ?? ENVIRONMENT[variable], newSecret(id)]
      await restart({ [variable]: `${old},${next}` })
      await restart({ [variable]: `${next},${old}` })
      await operator().run(page('rotating-secrets'), 'mintmark signing-key rewrap')
      if (kind === 'a pepper') {
        await expect('the exchange', await statusOf(single.secret), 200)
        await until(
          'the key has moved',
          () => running().admin('GET', `/keys?pepper=p1`),
          ({ body }) => !JSON.stringify(body).includes(single.id),
          PATIENCE_MS,
        )
        const command =
          'mintmark key bulk-revoke --pepper p1 --unused-since 90d --reason "unused, pepper p1 ends" --dry-run'
        await operator().run(page('rotating-secrets'), command)
      }
      await operator().run(page('rotating-secrets'), `mintmark installation get --field ${field}`)
      if (kind === 'an encryption key') {
        await restart({ [variable]: next })
        await expect('the exchange with the new one alone', await statusOf(kept.secret), 200)
      }
    })
  await job('a 401 at Istio', page('troubleshooting'), async () => {
    const { gateway, public: issuer } = running().urls
    const inline = (await running().get(`${issuer}/.well-known/jwks.json`)).text
    const ports = { upstreamPort: 1, gatewayPort: Number(new URL(gateway).port) }
    const envoy = await startEnvoy(pilotConfig({ ...ports, applied: 'record-api-keys', jwks: { inline } }))
    environment.onEnd(() => envoy.stop())
    const { status } = await fetch(`${envoy.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${leaked.secret}`, 'content-type': 'application/json' },
      body: '{"model":"llama-3-8b"}',
    })
    await expect('the status', status, 401)
    await until('it is logged', () => envoy.log().includes('"gateway":"istio"'), Boolean)
    const logged = JSON.parse(
      envoy
        .log()
        .split('\n')
        .find(line => line.includes('"gateway":"istio"')) ?? '{}',
    )
    const example = '0c9f7d5e-1f0b-4d0c-9a53-6f3f1c1f6a11'
    const explained = await operator().run(
      page('troubleshooting'),
      `mintmark explain ${example}`,
      { [example]: logged.request_id },
      [3],
    )
    if (!explained.stdout.includes('key_revoked')) throw new Error(`not explained: ${explained.stdout}`)
  })
  await job('an access review', page('owners'), async () => {
    await operator().run(page('owners'), 'mintmark report access-review --markdown > access-review.md')
    await operator().run(page('owners'), 'mintmark report unused-keys --days 180 --csv > unused.csv')
  })
  await job('chargeback', page('usage'), async () => {
    const file = join(folder, 'reporter.secret')
    await operator().run(
      page('usage'),
      '(umask 077; mintmark usage-reporter create --name "envoy in eu-1" --audience vllm > reporter.secret)',
    )
    const secret =
      /mmr_\w+/.exec(
        (await base.run(page('usage'), 'reporter.secret', { 'reporter.secret': `cat ${file}` })).stdout,
      )?.[0] ?? ''
    const request = {
      id: randomUUID(),
      tenant: 'acme',
      key: kept.id,
      model: 'llama-3-8b',
      input: 1_000,
      output: 10,
    }
    await send(`http://127.0.0.1:${otlpPort}`, secret, logRecords([request]))
    writeFileSync(join(folder, 'prices.csv'), 'model,input,cached_input,output\nllama-3-8b,1,0.5,4\n')
    const command = 'mintmark usage --tenant acme --group-by key,model --prices prices.csv'
    await until(
      'it is charged',
      async () => (await operator().run(page('usage'), command)).stdout,
      text => text.includes(kept.id),
      PATIENCE_MS,
    )
  })
  await job('move in from LiteLLM', page('moving-in'), async () => {
    await postgres.sql('CREATE DATABASE litellm', [], 'postgres')
    for (const table of LITELLM) await postgres.sql(table, [], 'litellm')
    const secret = `sk-${randomBytes(16).toString('base64url')}`
    const token = createHash('sha256').update(secret).digest('hex')
    await postgres.sql(
      `INSERT INTO "LiteLLM_TeamTable" VALUES ('team-1', 'Search', '{llama-3-8b}'), ('team-2', 'Closed', '{}')`,
      [],
      'litellm',
    )
    await postgres.sql(
      `INSERT INTO "LiteLLM_VerificationToken" VALUES ($1, 'ci', 'team-1', '{}')`,
      [token],
      'litellm',
    )
    writeFileSync(join(folder, 'litellm-url'), inDatabase(postgres.ownerUrl, 'litellm'))
    base.reads(page('moving-in'), 'LITELLM_DATABASE_URL_FILE=litellm-url')
    const moving = operator().with({
      MINTMARK_URL: running().urls.admin,
      MINTMARK_ADMIN_TOKEN: ENVIRONMENT.MINTMARK_ROOT_TOKEN,
      LITELLM_DATABASE_URL_FILE: 'litellm-url',
    })
    await moving.run(page('moving-in'), 'mintmark model set llama-3-8b')
    await moving.run(page('moving-in'), 'mintmark import litellm --dry-run')
    await expect('the exchange before the import', await statusOf(secret), 401)
    for (const _ of ['once', 'and again'])
      await moving.run(page('moving-in'), 'mintmark import litellm\n', { '\n': '' })
    await expect('the exchange of the key that its team has', await statusOf(secret), 200)
    const { stdout } = await moving.run(page('moving-in'), 'mintmark key list --imported lookup')
    if (!stdout.includes('search')) throw new Error(`not listed: ${stdout}`)
  })
}
