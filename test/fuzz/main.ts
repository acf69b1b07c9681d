import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Environment } from '../faults/environment/environment.ts'
import { installation } from './installation.ts'
import { type Events, verdict } from './verdict.ts'

/**
 * fuzz/ has a third-party program send everything that docs/openapi.json allows, and much that it does not, to a
 * service with its own Postgres:
 *
 *   npm run fuzz-admin for half a minute, as CI does
 *   npm run fuzz-admin -- --seconds 300 --seed 7 for longer, with other requests
 *
 * Schemathesis (scripts/install-test-tools.sh) generates the requests, one by one and in chains, and checks every
 * response against the document. Ends with "N passed, N failed", counting pairs of method and path, and status 1 when a response
 * did not match the document. Not checked: that every request that matches its schema is accepted. A schema cannot say
 * that a tier exists, or that a cursor belongs to this list.
 */
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'unsupported_method',
  'allow_header_conformance',
  'ignored_auth',
]

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '30' }, seed: { type: 'string', default: '1' } },
})
const environment = new Environment({ full: false })
const folder = await mkdtemp(join(tmpdir(), 'mintmark-fuzz-'))
try {
  const place = await installation(environment, folder)
  const events = await schemathesis([
    'run',
    place.documentFile,
    `--url=${place.adminUrl}`,
    `--header=Authorization: ${place.authorization}`,
    `--checks=${CHECKS.join(',')}`,
    `--max-time=${options.seconds}`,
    `--seed=${options.seed}`,
    '--continue-on-failure',
    '--request-timeout=60',
    '--generation-database=none',
    '--warnings=off',
    '--report=ndjson',
  ])
  const { passed, failed } = verdict(events, place.faults())
  console.log(`\n${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 ? 1 : 0
} finally {
  await environment.close()
  await rm(folder, { recursive: true, force: true })
}

/** Runs it, and copies its output to ours. Returns its report. */
async function schemathesis(options: string[]): Promise<Events> {
  const cache = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')
  const report = join(folder, 'events.ndjson')
  const program = join(cache, 'python', 'bin', 'schemathesis')
  const settings = fileURLToPath(new URL('schemathesis.toml', import.meta.url))
  const child = spawn(
    program,
    ['--no-color', `--config-file=${settings}`, ...options, `--report-ndjson-path=${report}`],
    {
      cwd: folder,
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  )
  environment.onEnd(() => child.kill())
  await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve)).catch(error => {
    throw new Error('there is no schemathesis: run `bash scripts/install-test-tools.sh`', { cause: error })
  })
  const lines = (await readFile(report, 'utf8')).trim().split('\n')
  return lines.map(line => JSON.parse(line))
}
