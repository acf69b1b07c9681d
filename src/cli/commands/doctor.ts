import { readFile } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { systemClock } from '../../system/clock.ts'
import { oneByOne } from '../../system/one-by-one.ts'
import { AdminClient } from '../admin-client.ts'
import { fetchVia, parseConnectTo } from '../connect-to.ts'
import { fetchThrough } from '../connection/fetch-through.ts'
import { type Finding, fault, note } from '../doctor/finding.ts'
import {
  type Contract,
  contractOf,
  gatewayFileFindings,
  liveGatewayFindings,
} from '../doctor/gateway-checks.ts'
import { issuerFindings } from '../doctor/issuer-checks.ts'
import { listenerFindings } from '../doctor/listener-checks.ts'
import { opsFindings } from '../doctor/ops-checks.ts'
import { serviceFindings } from '../doctor/service-checks.ts'
import { acceptanceFinding, tokenFindings } from '../doctor/token-checks.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { collect } from '../field-options.ts'
import { readInput } from '../input.ts'
import { tokenIn } from '../jwt.ts'
import type { View } from '../output.ts'
import { readAdminSettings } from '../settings.ts'
import { action, resultVerb } from '../verb.ts'

interface Options {
  issuer?: string
  token?: string
  istio?: string[]
  envoy?: string[]
  gateway?: string[]
  ops?: string[]
  probe?: string[]
  outside?: true
  connectTo?: string[]
}

const VIEW: View<Finding> = {
  plural: 'findings',
  id: finding => finding.check,
  columns: [
    { title: '', of: finding => MARKS[finding.level] },
    { title: 'CHECK', of: finding => finding.check },
    { title: 'FOUND', of: finding => finding.message },
  ],
}
const MARKS = { ok: 'ok', note: '-', warning: 'warning', fault: 'FAULT' }

export function doctorCommand(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(program, 'doctor', {
    summary: 'check an installation: issuer, service, database, listeners, gateways',
    details:
      'Checks what it is given, and says what it left out. The issuer as a gateway sees it; with an admin token the service; ' +
      'with DATABASE_URL, in the environment of the service, its configuration and database. Ends with a verdict, and a cure ' +
      'for each finding. Exit code 0: no fault, 5: faults.',
    examples: [
      'mintmark doctor --issuer https://tokens.example.com',
      'mintmark doctor --issuer https://tokens.example.com --connect-to tokens.example.com:443:127.0.0.1:8443',
      'mintmark doctor --ops http://127.0.0.1:8084 --gateway deploy/envoy/envoy.yaml --gateway http://127.0.0.1:10000',
      'mintmark token get --key-file nightly.key | mintmark doctor --issuer https://tokens.example.com --token -',
      'mintmark doctor --issuer https://tokens.example.com --istio deploy/istio/request-authentication.yaml --istio deploy/istio/authorization-policy.yaml --istio deploy/istio/envoy-filter.yaml',
    ],
    quiet: 'print only problems: their checks, and the causes and cures on standard error',
  })
    .option('--issuer <url>', 'issuer URL, the "iss" of tokens (default: of the service, or MINTMARK_ISSUER)')
    .option('--token <file>', 'verify this token, and show its headers at the engine; "-" is standard input')
    .option('--ops <url>', 'ops listener of a replica (repeatable)', collect)
    .option('--gateway <file or url>', 'gateway file, or a gateway that runs (repeatable)', collect)
    .option('--istio <file>', 'file with Istio resources to check (repeatable)', collect)
    .option('--envoy <file>', '/config_dump of a gateway: does it have the keys? (repeatable)', collect)
    .option('--probe <host>', 'which listeners accept connections at this host? (repeatable)', collect)
    .addOption(new Option('--outside', 'this host is outside: only the public listener may answer --probe'))
    .option('--connect-to <host:port:addr:port>', 'connect elsewhere, as in curl (repeatable)', collect)
  command.action(
    action(environment, async ({ output }) => {
      const { quiet, ...options } = command.opts<Options & { quiet?: true }>()
      if (options.issuer !== undefined) checkIssuer(options.issuer)
      const findings = await examine(options, environment)
      const problems = findings.filter(({ level }) => level === 'fault' || level === 'warning')
      const faults = problems.filter(({ level }) => level === 'fault')
      await output.list(quiet ? problems : findings, VIEW)
      // With -q the table has the names alone.
      const cures = problems.map(({ check, message, cure }) =>
        quiet ? `${check}: ${message.replace(/\.$/, '')}. ${cure}` : `${check}: ${cure}`,
      )
      if (faults.length > 0)
        throw new CliError(EXIT.conflict, `${faults.length} of ${findings.length} checks failed.`, cures)
      if (problems.length > 0) output.note([`No faults, ${problems.length} warnings.`, ...cures].join('\n  '))
      else output.note('No problems found.')
    }),
  )
}

async function examine(options: Options, environment: NodeJS.ProcessEnv): Promise<Finding[]> {
  const send = fetchVia((options.connectTo ?? []).map(parseConnectTo), fetchThrough(environment))
  const findings: Finding[] = []
  const service = await examineService(environment, send)
  const issuer = options.issuer ?? service.issuer ?? environment.MINTMARK_ISSUER
  if (issuer === undefined)
    throw new CliError(EXIT.usage, 'no issuer: give --issuer, or an admin token to ask the service for it.', [
      ...service.findings.map(({ message }) => message),
    ])
  const jwt =
    options.token === undefined
      ? undefined
      : tokenIn(await readInput(options.token, 'no token: name a file, or pipe the token to standard input.'))
  const { findings: ofIssuer, jwks, jwksUrl } = await issuerFindings(issuer, send)
  findings.push(...ofIssuer, ...service.findings)
  if (environment.DATABASE_URL || environment.DATABASE_URL_FILE) {
    const { environmentFindings } = await import('../doctor/database-checks.ts')
    findings.push(...(await environmentFindings(environment)))
  } else
    findings.push(
      note('database', 'not checked: run doctor in the environment of the service, with its DATABASE_URL'),
    )
  for (const url of options.ops ?? []) findings.push(...(await opsFindings(url, send)))
  if (!options.ops)
    findings.push(note('replica', 'not checked: give --ops with the address of its port 8084'))
  for (const host of options.probe ?? [])
    findings.push(...(await listenerFindings(host, { isOutside: options.outside ?? false })))
  if (jwt !== undefined) {
    if (jwksUrl === undefined)
      findings.push(fault('token', 'no keys to verify it with', 'Make the JWKS reachable.'))
    else {
      const ofToken = await tokenFindings(jwt, { issuer, jwksUrl, send })
      findings.push(...ofToken)
      const verifies = ofToken.every(({ level }) => level === 'ok')
      if (verifies && service.admin) findings.push(await acceptanceFinding(jwt, service.admin))
    }
  }
  for (const named of options.gateway ?? [])
    findings.push(
      ...(/^https?:\/\//.test(named)
        ? await liveGatewayFindings(named, jwt, send)
        : gatewayFileFindings(await readText(named), issuer, service.contract)),
    )
  if (options.istio) {
    const files = await oneByOne(options.istio, readText)
    const { istioFindings } = await import('../doctor/istio-checks.ts')
    findings.push(...istioFindings(files, issuer, jwks))
  }
  if (options.envoy) {
    const { envoyFindings } = await import('../doctor/gateway-key-checks.ts')
    for (const name of options.envoy) findings.push(...envoyFindings(await readText(name), issuer, jwks))
  }
  return findings
}

const TOKEN_VARIABLES = [
  'MINTMARK_ADMIN_TOKEN',
  'MINTMARK_ADMIN_TOKEN_FILE',
  'MINTMARK_TOKEN',
  'MINTMARK_TOKEN_FILE',
]

/** What an admin token shows. A service that does not answer is a finding, not the end. */
async function examineService(
  environment: NodeJS.ProcessEnv,
  send: typeof fetch,
): Promise<{ findings: Finding[]; issuer?: string; contract?: Contract; admin?: AdminClient }> {
  if (!TOKEN_VARIABLES.some(name => environment[name]))
    return {
      findings: [
        note('service', 'not checked: set MINTMARK_ADMIN_TOKEN, to see keys, replicas and providers'),
      ],
    }
  const settings = readAdminSettings(environment)
  const admin = new AdminClient(settings, {}, { send })
  try {
    const { issuer } = await admin.get<{ issuer: string }>('/installation')
    const findings = await serviceFindings(admin, systemClock.wallMs())
    return { findings, issuer, contract: await contractOf(admin), admin }
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return {
      findings: [
        fault(
          'service',
          `${settings.url}: ${error.message}`,
          'Check MINTMARK_URL, and that the token has the role auditor or more.',
        ),
      ],
    }
  }
}

function checkIssuer(issuer: string): void {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  if (!url || !/^https?:$/.test(url.protocol))
    throw new CliError(EXIT.usage, '--issuer must be an http or https URL.')
}

async function readText(name: string): Promise<{ name: string; text: string }> {
  try {
    return { name, text: await readFile(name, 'utf8') }
  } catch (error) {
    throw new CliError(EXIT.usage, `${name} cannot be read (${(error as NodeJS.ErrnoException).code}).`)
  }
}
