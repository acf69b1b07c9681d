import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { lacksShells } from '../cli/shells.ts'
import { lacksClaudeCode, lacksLitellmProxy } from '../clients/client-programs.ts'
import { lacksPython } from '../clients/python.ts'
import { lacksJava } from '../conformance/java-clients.ts'
import { lacksAws } from '../database/aws-program.ts'
import { lacksHelm } from '../deploy/helm.ts'
import { noClickHouse } from '../gateway-configs/clickhouse.ts'
import { noCollector } from '../gateway-configs/collector.ts'
import { noEnvoy } from '../gateway-configs/envoy.ts'
import { noKafka } from '../gateway-configs/kafka.ts'
import { isAbsent, newerProgram } from '../gateway-configs/program.ts'
import { lacksPrometheus } from '../observability/prometheus.ts'
import { lacksPgBouncer } from './pgbouncer.ts'

const GATEWAYS = 'bash scripts/install-gateways.sh'
const TEST_TOOLS = 'bash scripts/install-test-tools.sh'

/**
 * Programs that some suites need and npm does not install: whether one is missing, what is then skipped, and how to
 * install it.
 */
const OUTSIDE: readonly [isMissing: () => boolean, suites: string, cure: string][] = [
  [() => noEnvoy, 'what runs behind Envoy', GATEWAYS],
  [() => isAbsent('nginx'), 'what runs behind nginx', GATEWAYS],
  [() => isAbsent('haproxy'), 'what runs behind HAProxy', GATEWAYS],
  [
    () => ['nginx', 'haproxy'].some(name => isAbsent(newerProgram(name))),
    'limits of requests at nginx and HAProxy',
    GATEWAYS,
  ],
  [() => isAbsent('caddy'), 'what runs behind Caddy', GATEWAYS],
  [() => noCollector, 'usage through a Collector', 'bash scripts/install-otel-collector.sh'],
  [() => noKafka, 'raw usage records in Kafka', 'bash scripts/install-kafka.sh'],
  [() => noClickHouse, 'raw usage records in ClickHouse', 'bash scripts/install-clickhouse.sh'],
  [lacksPython, 'clients and verifiers in Python', TEST_TOOLS],
  [lacksJava, 'OAuth clients in Java', TEST_TOOLS],
  [lacksLitellmProxy, "the recipe for LiteLLM's proxy", TEST_TOOLS],
  [lacksClaudeCode, 'the recipe for Claude Code', TEST_TOOLS],
  [lacksPrometheus, 'metrics and alerts in Prometheus', TEST_TOOLS],
  [lacksHelm, 'the Helm chart', TEST_TOOLS],
  [lacksPgBouncer, 'connections through PgBouncer', TEST_TOOLS],
  [lacksAws, 'tokens of RDS', 'bash scripts/install-aws-cli.sh'],
  [() => isAbsent('redis-server'), '"mintmark aibrix users" in Redis', TEST_TOOLS],
  [
    () => ['chromium', 'chromium-browser', 'google-chrome'].every(isAbsent),
    'the reference page in Chromium',
    TEST_TOOLS,
  ],
  [lacksShells, 'completion in bash, zsh and fish', 'install tmux, zsh, fish and bash-completion'],
  [() => !existsSync('/usr/bin/script'), 'the command line on a terminal', 'install script(1) of util-linux'],
  [() => isAbsent('python3'), 'the check of an exported audit trail in Python', 'install python3'],
  [lacksDocker, 'the compose installation', 'start Docker'],
]

/** Before any test: one line for each group of suites that this machine cannot run. */
export default function sayWhatIsSkipped(): void {
  for (const [isMissing, suites, cure] of OUTSIDE) {
    if (isMissing()) console.log(`skipped: ${suites}; to run it: ${cure}`)
  }
}

function lacksDocker(): boolean {
  return process.env.MINTMARK_REQUIRE_DOCKER !== '1' && spawnSync('docker', ['info']).status !== 0
}
