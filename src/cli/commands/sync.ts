import { type Command, InvalidArgumentError } from 'commander'
import { collect, parseWholeNumber } from '../field-options.ts'
import { DEFAULT_INTERVAL_SECONDS, parseInterval } from '../sync/interval.ts'
import type { SyncOptions } from '../sync/run-sync.ts'
import { verb } from '../verb.ts'

export function syncCommand(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = verb(program, 'sync', {
    summary: "keep the JWKS, and the list of revoked tokens, in Istio's objects",
    details:
      'istiod gives up a first fetch of a jwksUri that fails, and gateways then reject every token. This command fetches the JWKS from the jwksUri in the files, and ' +
      'applies the RequestAuthentications of the files with the JWKS inline, by server-side apply. While Mintmark is ' +
      'unavailable, the last JWKS stays. With --revocations it also keeps the list of revoked tokens in the AuthorizationPolicy ' +
      'of a file, with the token of the xDS listener in MINTMARK_XDS_TOKEN. In a pod it uses its service account. One process of several writes. ' +
      'Guide: docs/guides/istio.md.',
    examples: [
      'mintmark sync --issuer https://tokens.example.com --istio request-authentication.yaml',
      'mintmark sync --issuer https://tokens.example.com --istio request-authentication.yaml --kubeconfig ~/.kube/config --once',
    ],
  })
    .requiredOption('--issuer <url>', 'issuer URL: rules with this issuer get the JWKS')
    .requiredOption('--istio <file>', 'file with RequestAuthentications to apply (repeatable)', collect)
    .option(
      '--interval <seconds>',
      `seconds between two rounds (default: ${DEFAULT_INTERVAL_SECONDS}); with --once: how often the command is run`,
      parseInterval,
    )
    .option(
      '--revocations <file>',
      'file with an AuthorizationPolicy (DENY): its rules become the list of revoked tokens',
    )
    .option('--xds <url>', 'URL of the xDS listener, for --revocations')
    .option(
      '--xds-ca <file>',
      'certificates of the authority of the xDS listener (default: those of the system)',
    )
    .option('--once', 'one round, for a CronJob')
    .option('--kubeconfig <file>', 'how to reach the API server, instead of the service account of the pod')
    .option('--context <name>', 'context of the kubeconfig (default: its current one)')
    .option('--force-conflicts', 'take over fields that another field manager owns; with --once')
    .option(
      '--allow-older',
      'write also a JWKS or a list that is older than the one in the object; with --once',
    )
    .option('--lease <name>', 'name of the Lease that one of several processes has', 'mintmark-sync')
    .option('--lease-namespace <name>', 'namespace of the Lease (default: that of the pod or context)')
    .option('--host <address>', 'address of the port for metrics and health checks', '0.0.0.0')
    .option('--port <n>', 'port for metrics and health checks', parsePort, 8085)
  command.action(async () => {
    const { sync } = await import('../sync/run-sync.ts')
    await sync(environment, command.opts<SyncOptions>())
  })
}

function parsePort(value: string): number {
  const port = parseWholeNumber(value)
  if (port < 0 || port > 65_535) throw new InvalidArgumentError('It must be from 0 to 65535.')
  return port
}
