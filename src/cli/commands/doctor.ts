import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { ageFindings } from '../doctor/age-checks.ts'
import { type Finding, note, wrong } from '../doctor/finding.ts'
import { issuerFindings } from '../doctor/issuer-checks.ts'
import { tokenFindings } from '../doctor/token-checks.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { collect } from '../field-options.ts'
import { readInput } from '../input.ts'
import { tokenIn } from '../jwt.ts'
import type { View } from '../output.ts'
import { action, type Invocation, resultVerb } from '../verb.ts'

interface Options {
  issuer: string
  token?: string
  istio?: string[]
  envoy?: string[]
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
const MARKS = { ok: 'ok', note: '-', wrong: 'WRONG' }

export function doctorCommand(program: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(program, 'doctor', {
    summary: 'check an issuer and Istio resources, as a gateway sees them',
    details:
      'Fetches discovery and JWKS as istiod does, and reports what would fail at a gateway. With MINTMARK_TOKEN set, the ' +
      'ages of the keys are compared with the caches of Istio, Envoy and AWS. Exit code 0: no problem found, 5: problems.',
    examples: [
      'mintmark doctor --issuer https://tokens.example.com',
      'mintmark token get --key-file nightly.key | mintmark doctor --issuer https://tokens.example.com --token -',
      'mintmark doctor --issuer https://tokens.example.com --istio deploy/istio/request-authentication.yaml --istio deploy/istio/authorization-policy.yaml --istio deploy/istio/envoy-filter.yaml',
    ],
    quiet: 'print only problems',
  })
    .requiredOption('--issuer <url>', 'issuer URL: the "iss" of tokens')
    .option('--token <file>', 'verify this token, and show its headers at the engine; "-" is standard input')
    .option('--istio <file>', 'file with Istio resources to check (repeatable)', collect)
    .option('--envoy <file>', '/config_dump of a gateway: does it have the keys? (repeatable)', collect)
  command.action(
    action(environment, async invocation => {
      const options = command.opts<Options>()
      checkIssuer(options.issuer)
      const findings = await examine(options, invocation, environment)
      const faults = findings.filter(finding => finding.level === 'wrong')
      await invocation.output.list(command.opts().quiet ? faults : findings, VIEW)
      if (faults.length === 0) return invocation.output.note('No problems found.')
      throw new CliError(EXIT.conflict, `${faults.length} of ${findings.length} checks failed.`)
    }),
  )
}

async function examine(
  options: Options,
  invocation: Invocation,
  environment: NodeJS.ProcessEnv,
): Promise<Finding[]> {
  const { findings, jwks, jwksUrl } = await issuerFindings(options.issuer)
  if (environment.MINTMARK_TOKEN || environment.MINTMARK_TOKEN_FILE)
    findings.push(...(await ageFindings(invocation.admin)))
  else
    findings.push(
      note('ages', 'set MINTMARK_TOKEN to compare the ages of the keys with the caches of verifiers'),
    )
  if (options.token !== undefined) {
    const jwt = tokenIn(
      await readInput(options.token, 'no token: name a file, or pipe the token to standard input.'),
    )
    if (jwksUrl === undefined) findings.push(wrong('token', 'no keys to verify it with.'))
    else findings.push(...(await tokenFindings(jwt, { issuer: options.issuer, jwksUrl })))
  }
  if (options.istio) {
    const files = await Promise.all(options.istio.map(readText))
    const { istioFindings } = await import('../doctor/istio-checks.ts')
    findings.push(...istioFindings(files, options.issuer, jwks))
  }
  if (options.envoy) {
    const { envoyFindings } = await import('../doctor/gateway-key-checks.ts')
    for (const name of options.envoy)
      findings.push(...envoyFindings(await readText(name), options.issuer, jwks))
  }
  return findings
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
