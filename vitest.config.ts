import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { configDefaults, defineConfig } from 'vitest/config'
import { useOwnTemporaryFolder } from './test/support/own-temporary-folder.ts'

useOwnTemporaryFolder()

// Node keeps what it has compiled of src/ and of packages: a process that a test starts is up in a third of the time.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/node-compile')
// Commands run in the process of the tests: their output is not coloured where CI sets this for what it runs.
delete process.env.FORCE_COLOR

/**
 * These need no database, no port and no process: `npm run test:unit`. Node's permission model holds them to it. They
 * share their module instances, as they keep nothing in them.
 */
const UNIT = [
  'test/{architecture,documentation,language,licence}.test.ts',
  'test/api-keys/{api-key,secret-proof}.test.ts',
  'test/audit/audit-retention.test.ts',
  'test/cli/{credential-input,help,lines,retrying-call}.test.ts',
  'test/cli/apply/documents.test.ts',
  'test/config/{config,development-secrets,postgres-url,secrets}.test.ts',
  'test/deploy/{modes,template}.test.ts',
  'test/directory/{directory-index,negative-cache}.test.ts',
  'test/gateway-configs/deploy-files.test.ts',
  'test/gateway/model-in-body.test.ts',
  'test/http/turns.test.ts',
  'test/identity-providers/{any-rules,matching,wrong-assertions}.test.ts',
  'test/oauth/token-request.test.ts',
  'test/scripts/lockfile.test.ts',
  'test/signing-keys/{alarms,any-order,key-encryption,key-ring,rotation,signing-key-status}.test.ts',
  'test/snapshots/snapshot.test.ts',
  'test/system/{coalescer,failure-limit,fair-queue,ip-address,logger,metrics,minute-limit,write-buffer}.test.ts',
  'test/token-revocations/deny-list.test.ts',
  'test/token-revocations/gateway-connections.test.ts',
  'test/tombstones/trail.test.ts',
  'test/tokens/{compact-jws,expiry,issued-tokens}.test.ts',
  'test/usage/otlp-json.test.ts',
  'test/usage/usage-record.test.ts',
  'test/xds/discovery-stream.test.ts',
]
const WITHOUT_NETWORK_AND_PROCESSES = [
  '--permission',
  '--allow-fs-read=*',
  '--allow-fs-write=*',
  // bcrypt
  '--allow-addons',
  '--disable-warning=SecurityWarning',
]

/**
 * These measure how long something takes, and need the machine for themselves: `npm run test:timing`. Only they may assert
 * milliseconds.
 */
const ALONE = [
  'test/authentication/{imported-flood,refusal-time}.test.ts',
  'test/database/migration-lock.test.ts',
  'test/fuzz/odd-input.test.ts',
  'test/service/{database-outage,drain,forged-flood,partition,paused,promptness,replicas,stalled-writer}.test.ts',
  'test/observability/metrics-page.test.ts',
]

/** These kill, pause and flood processes, and stop or restore databases, which takes minutes: `npm run test:load`. */
const LOAD = [
  'test/cli/{apply/interrupted,connection/retries,large-import}.test.ts',
  'test/database/unchangeable-server.test.ts',
  'test/embedded-postgres/embedded-postgres.test.ts',
  'test/service/{broken-log,crash,keyed-writes,processes,restore,silent-connections,snapshot-processes}.test.ts',
  'test/usage/abuses.test.ts',
]

/** These need programs that npm does not install: `npm run test:third-party`. Others need a few in single tests. */
const THIRD_PARTY = [
  'test/gateway-configs/**/*.test.ts',
  'test/observability/{alert-cases,alerts-in-prometheus,istio-alerts}.test.ts',
  'test/clients/{anthropic,anthropic-identity,installed,litellm,openai,openai-admin-python,openai-python,recipes,token-provider-python}.test.ts',
  'test/conformance/{github-actions,java,python}.test.ts',
  'test/conformance/mod-auth-openidc.test.ts',
  'test/admin/reference.test.ts',
  'test/cli/aibrix.test.ts',
  'test/database/rds-token.test.ts',
  'test/docker/**/*.test.ts',
  'test/deploy/{helm*,pod-values}.test.ts',
]

const BEFORE = [
  'test/support/skipped-suites.ts',
  'test/support/bundled-source.ts',
  'test/support/global-setup.ts',
]

const SIDE_BY_SIDE = {
  // Files of one worker share its modules: to load them for each file is a third of the time.
  isolate: false,
  // Most of a test's time is spent waiting: for a process, a poll, an answer.
  maxWorkers: Math.min(4, availableParallelism() + 2),
}

export default defineConfig({
  test: {
    // Only against tests that hang: a busy machine is no failure.
    testTimeout: 60_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 15_000 } },
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: UNIT,
          execArgv: WITHOUT_NETWORK_AND_PROCESSES,
          isolate: false,
          maxWorkers: availableParallelism(),
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'side by side',
          globalSetup: BEFORE,
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...UNIT, ...LOAD, ...THIRD_PARTY, ...ALONE],
          ...SIDE_BY_SIDE,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'load',
          globalSetup: BEFORE,
          include: LOAD,
          ...SIDE_BY_SIDE,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'third-party',
          globalSetup: BEFORE,
          include: THIRD_PARTY,
          exclude: [...configDefaults.exclude, ...UNIT],
          ...SIDE_BY_SIDE,
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          globalSetup: BEFORE,
          include: ALONE,
          maxWorkers: 1,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
})
