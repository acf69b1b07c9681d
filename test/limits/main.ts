import { Checks } from '../engine/checks.ts'
import { Environment } from '../faults/environment/environment.ts'
import { checkAgentgateway } from './agentgateway.ts'
import { checkChanges } from './changes.ts'
import { printCosts } from './costs.ts'
import { checkDashboard } from './dashboard.ts'
import { checkEnvoyGateway } from './envoy-gateway.ts'
import { checkIstio } from './istio.ts'
import { checkLlmTokens } from './llm-tokens.ts'
import { Matrix } from './matrix.ts'
import { checkOlderEnvoys } from './older-envoys.ts'
import { checkOutages } from './outages.ts'
import { missingPrograms } from './programs.ts'
import { checkRealEngine } from './real-engine.ts'
import { checkRequests } from './requests.ts'
import { startSetting } from './setting.ts'
import { checkSeveral } from './several.ts'
import { checkStopped, type LimitingGateway } from './stopped.ts'

/**
 * limits/ runs deploy/envoy/envoy-limits.yaml on a real Envoy, with a real envoyproxy/ratelimit, a real Redis, Mintmark and its
 * Postgres, in front of an engine that counts as vLLM does, and shows what docs/guides/limits.md says:
 *
 *   npm run limits
 *   npm run limits -- costs dashboard     only these parts
 *   npm run limits -- engine     what a real vLLM answers, instead (scripts/install-engine.sh); embeddings: one for embeddings
 *
 * Ends with "N passed, N failed".
 */
const RUNNERS: Readonly<Record<string, 'generate' | 'pooling'>> = {
  engine: 'generate',
  embeddings: 'pooling',
}
const reason = missingPrograms()
if (reason) {
  console.log(`skipped: ${reason}\n0 passed, 0 failed`)
  process.exit(0)
}

const checks = new Checks()
const environment = new Environment({ full: false })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))
const began = performance.now()
const matrix = new Matrix(checks, 'Envoy')
/** A part that ends with an error is a failure, and ends no other. */
const part = async (work: () => Promise<void>) => checks.equal('it ran to its end', undefined, work)
try {
  const setting = await startSetting(environment)
  const gateways: LimitingGateway[] = [{ name: 'Envoy', url: setting.envoy.url, matrix }]
  const parts: Record<string, () => Promise<void>> = {
    requests: () => checkRequests(checks, matrix, setting),
    tokens: () => checkLlmTokens(checks, matrix, setting),
    changes: () => checkChanges(checks, setting, environment),
    costs: () => printCosts(setting),
    several: () => checkSeveral(checks, setting),
    dashboard: () => checkDashboard(checks, setting),
    istio: async () => {
      const istio = await checkIstio(checks, setting, environment)
      if (istio) gateways.push(istio)
    },
    'envoy-gateway': async () => {
      gateways.push(await checkEnvoyGateway(checks, setting, environment))
    },
    agentgateway: () => checkAgentgateway(checks, setting),
    'older-envoys': () => checkOlderEnvoys(checks, setting),
    outages: () => checkOutages(checks, setting),
    // Stops Mintmark, so it is the last. At the gateways of the parts before it.
    stopped: () => checkStopped(checks, setting, gateways),
  }
  const given = process.argv.slice(2)
  const runner = RUNNERS[given[0] ?? '']
  if (runner) await part(() => checkRealEngine(checks, setting, environment, runner))
  else {
    const unknown = given.filter(name => !(name in parts))
    if (unknown.length > 0) throw new Error(`no part ${unknown}: there are ${Object.keys(parts).join(', ')}`)
    for (const [name, run] of Object.entries(parts))
      if (given.length === 0 || given.includes(name)) await part(run)
    for (const gateway of gateways) gateway.matrix.print()
  }
} finally {
  await environment.close()
}
console.log(`\n${((performance.now() - began) / 1_000).toFixed(0)} s`)
checks.end()
