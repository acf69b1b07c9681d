import { CONTRACT_NUMBER } from '../../gateway/headers.ts'
import type { AdminClient } from '../admin-client.ts'
import { CliError } from '../exit-codes.ts'
import { httpCall } from '../http-call.ts'
import { type Finding, fault, note, ok, warning } from './finding.ts'

/** What the check of the service requires. */
export interface Contract {
  contract_number: number
  audience: string
}

/** Issuers of the files in deploy/, to be changed for an installation. */
const EXAMPLE_ISSUER = 'https://tokens.example.com'
/** An issuer as gateway files name it: `issuer: <url>`, `ISSUER = '<url>'`, `$.iss ... <url>`. Comments do not count. */
const NAMED_ISSUER = /^(?!\s*(?:#|\/\/)).*\biss(?:uer)?\b[^\n]*?(https?:\/\/[^\s'",\]}]+)/im
/** Any `jti`: only the requirements of the check are read. */
const NO_TOKEN = 'A'.repeat(22)

export async function contractOf(admin: AdminClient): Promise<Contract> {
  const { gateway } = await admin.post<{ gateway: Contract }>('/explain', { token_id: NO_TOKEN })
  return gateway
}

/** A gateway file of deploy/, as it is deployed: contract number, issuer and audience. */
export function gatewayFileFindings(
  { name, text }: { name: string; text: string },
  issuer: string,
  contract: Contract | undefined,
): Finding[] {
  const expected = contract?.contract_number ?? CONTRACT_NUMBER
  return [
    numberFinding(name, text, expected),
    issuerFinding(name, text, issuer),
    ...audienceFindings(name, text, contract),
  ]
}

function numberFinding(name: string, text: string, expected: number): Finding {
  const [, found] = /Contract number: (\d+)\./.exec(text) ?? []
  const cure = 'Take the file of this version from deploy/, and make your changes again.'
  if (found === undefined) return warning('contract', `${name} has no contract number`, cure)
  const difference = Math.abs(Number(found) - expected)
  const what = `${name} has contract number ${found}, the service ${expected}`
  if (difference === 0) return ok('contract', what)
  // Neighbouring numbers work together.
  return difference === 1 ? warning('contract', what, cure) : fault('contract', what, cure)
}

function issuerFinding(name: string, text: string, issuer: string): Finding {
  // A file without an issuer leaves tokens to the check.
  const isNamed = (url: string) => new RegExp(`${escaped(url)}(?![\\w./-])`).test(text)
  if (isNamed(issuer)) return ok('gateway issuer', `${name} has exactly "${issuer}"`)
  if (issuer !== EXAMPLE_ISSUER && isNamed(EXAMPLE_ISSUER))
    return fault('gateway issuer', `${name} still has the issuer of the example`, `Set it to "${issuer}".`)
  if (text.includes(issuer))
    return fault(
      'gateway issuer',
      `${name} has the issuer with more after it`,
      `Set it to exactly "${issuer}".`,
    )
  const [, other] = NAMED_ISSUER.exec(text) ?? []
  return other === undefined
    ? note('gateway issuer', `${name} has no issuer: it leaves tokens to Mintmark`)
    : fault(
        'gateway issuer',
        `${name} has the issuer "${other}", and not "${issuer}": it rejects every token`,
        `Set it to exactly "${issuer}".`,
      )
}

function audienceFindings(name: string, text: string, contract: Contract | undefined): Finding[] {
  if (!contract) return [note('gateway audience', 'not compared: that needs an admin token')]
  const { audience } = contract
  // Every file that compares an audience names it next to the issuer.
  if (!/audience|\$\.aud/i.test(text)) return []
  return [
    new RegExp(`(?<![\\w-])${escaped(audience)}(?![\\w-])`).test(text)
      ? ok('gateway audience', `${name} has "${audience}"`)
      : warning(
          'gateway audience',
          `${name} does not have "${audience}", the audience of the check`,
          'Set the audience of the gateway, or MINTMARK_GATEWAY_AUDIENCE.',
        ),
  ]
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** A live gateway: it must refuse a request without a credential, and accept the token. */
export async function liveGatewayFindings(
  url: string,
  token: string | undefined,
  send: typeof fetch,
): Promise<Finding[]> {
  const base = url.replace(/\/+$/, '')
  const ask = (headers: Record<string, string>) =>
    httpCall(`${base}/v1/models`, { headers }, '--gateway', send)
  try {
    const without = await ask({})
    const findings = [
      without.status === 401 || without.status === 403
        ? ok('gateway', `${base} answers ${without.status} without a credential`)
        : without.status < 400
          ? fault(
              'gateway',
              `${base} answers ${without.status} without a credential: THEY PASS`,
              'Deploy the whole file of deploy/.',
            )
          : fault(
              'gateway',
              `${base} answers ${without.status} without a credential`,
              'docs/guides/troubleshooting.md has each status.',
            ),
    ]
    if (token === undefined)
      return [...findings, note('gateway', 'give --token to see whether it accepts one')]
    const { status, text } = await ask({ authorization: `Bearer ${token}` })
    if (status === 200) return [...findings, ok('gateway', `${base} accepts the token and lists models`)]
    const [, code = ''] = /"code": ?"(\w+)"/.exec(text) ?? []
    return [
      ...findings,
      fault(
        'gateway',
        `${base} answers ${status} ${code} to the token`,
        'mintmark explain says whether the token is good; docs/guides/troubleshooting.md has each status.',
      ),
    ]
  } catch (error) {
    if (error instanceof CliError)
      return [fault('gateway', error.message, 'Check the address, or give --connect-to.')]
    throw error
  }
}
