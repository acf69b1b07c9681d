import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Checks } from '../engine/checks.ts'

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))
/** What the suites of test/gateway-configs call the modes of the chart: tokens, static, API keys. */
const MODES = 'deploy/istio, istiod fetches|deploy/istio/static|deploy/istio/api-keys'
const SUITES = [
  ...['istio-api-keys', 'entitlement', 'tokens-refused', 'routes', 'headers'],
  ...['claim-shapes', 'accepted', 'priority', 'body-fuzz'],
].map(name => `test/gateway-configs/${name}.test.ts`)

/**
 * The contract of test/gateway-configs, at Envoys that a real istiod configures from what the chart makes: attached to a Gateway of
 * Istio by `selector`, or to one of Gateway API by `targetRefs`.
 */
export async function checkContractOfChart(
  checks: Checks,
  kubeconfig: string,
  attached: 'selector' | 'targetRefs',
): Promise<void> {
  console.log(`\nthe contract, at istiod's Envoys from the chart, attached by ${attached}`)
  const { failed, passed } = await runSuites({
    MINTMARK_CHART_KUBECONFIG: kubeconfig,
    MINTMARK_CHART_TARGET_REFS: attached === 'targetRefs' ? '1' : '0',
    MINTMARK_REQUIRE_GATEWAYS: '1',
  })
  console.log(`  note    ${passed} cases`)
  await checks.equal('cases that failed', [], () => failed)
  await checks.equal('there were hundreds', true, () => passed > 300)
}

async function runSuites(env: Record<string, string>): Promise<{ failed: string[]; passed: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-contract-'))
  const report = join(folder, 'report.json')
  const vitest = join(REPOSITORY, 'node_modules/vitest/vitest.mjs')
  const options = ['--project', 'third-party', '--testNamePattern', MODES, '--maxWorkers', '2']
  const args = [vitest, 'run', ...SUITES, ...options, '--reporter=json', `--outputFile=${report}`]
  try {
    const child = spawn(process.execPath, args, {
      ...{ cwd: REPOSITORY, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...env } },
    })
    await new Promise(resolve => child.once('close', resolve))
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
    const cases = testResults.flatMap(({ assertionResults }) => assertionResults)
    // Of a file whose gateway did not start, no case failed, and none ran.
    const broken = testResults.filter(
      ({ status, assertionResults }) =>
        status === 'failed' && !assertionResults.some(each => each.status === 'failed'),
    )
    return {
      failed: [
        ...broken.map(({ name, message }) => `${relative(REPOSITORY, name)}: ${message}`),
        ...cases.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName),
      ],
      passed: cases.filter(({ status }) => status === 'passed').length,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Report {
  testResults: {
    name: string
    status: string
    message: string
    assertionResults: { status: string; fullName: string }[]
  }[]
}
