import { systemClock } from '../../system/clock.ts'
import { CliError } from '../exit-codes.ts'
import { type Answer, httpCall } from '../http-call.ts'
import { type Finding, fault, note, ok } from './finding.ts'
import { type Jwks, jwksFindings } from './jwks-checks.ts'

/** Compared with the response's Date header, which has whole seconds. */
const LARGEST_CLOCK_DIFFERENCE_SECONDS = 5

/**
 * Reads the metadata and the keys as istiod would: the issuer without one trailing "/", and its `jwks_uri`. What cannot
 * be reached is a finding too. `jwks` is set when it could be read.
 */
export async function issuerFindings(
  issuer: string,
  send: typeof fetch,
): Promise<{ findings: Finding[]; jwks?: Jwks; jwksUrl?: string }> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const metadata = await get(url, send)
  if (typeof metadata === 'string')
    return {
      findings: [
        fault(
          'discovery',
          metadata,
          'Gateways and istiod read the same URL. Before DNS or a proxy is set up, give --connect-to.',
        ),
      ],
    }
  const findings = [...transportFindings(issuer), ...clockFindings(metadata)]
  const { issuer: named, jwks_uri: jwksUrl } = (metadata.body ?? {}) as Record<string, unknown>
  if (metadata.status !== 200 || typeof jwksUrl !== 'string' || !URL.canParse(jwksUrl)) {
    return {
      findings: [
        ...findings,
        fault(
          'discovery',
          `${url} answers ${metadata.status} without a jwks_uri: it is not the metadata of an issuer`,
          'Check --issuer, and the routes of the proxy in front of the public listener.',
        ),
      ],
    }
  }
  findings.push(
    named === issuer
      ? ok('issuer', `the metadata has exactly "${issuer}"`)
      : fault(
          'issuer',
          `the metadata has "${named}", and not "${issuer}": gateways compare it byte for byte with "iss"`,
          'Use the same URL in MINTMARK_ISSUER, in the gateway files and in --issuer, also the "/" at its end.',
        ),
  )
  const answer = await get(jwksUrl, send)
  if (typeof answer === 'string')
    return { findings: [...findings, fault('jwks', answer, 'Make the JWKS reachable for gateways.')] }
  const read = jwksFindings(jwksUrl, answer)
  return { findings: [...findings, ...read.findings], jwksUrl, ...(read.jwks && { jwks: read.jwks }) }
}

/** The response, or why there is none. */
async function get(url: string, send: typeof fetch): Promise<Answer | string> {
  try {
    return await httpCall(url, {}, '--issuer', send)
  } catch (error) {
    if (error instanceof CliError) return error.message
    throw error
  }
}

function transportFindings(issuer: string): Finding[] {
  const https = new URL(issuer).protocol === 'https:'
  return https
    ? []
    : [note('transport', 'plain http: a man in the middle can publish other keys; production rejects it')]
}

function clockFindings({ headers }: Answer): Finding[] {
  const theirs = Date.parse(headers.get('date') ?? '')
  if (Number.isNaN(theirs)) return [note('clock', 'the response has no Date: the clocks cannot be compared')]
  const seconds = Math.round((systemClock.wallMs() - theirs) / 1000)
  if (Math.abs(seconds) <= LARGEST_CLOCK_DIFFERENCE_SECONDS) return [ok('clock', 'in sync with the issuer')]
  const direction = seconds > 0 ? 'ahead of' : 'behind'
  return [
    fault(
      'clock',
      `this host is ${Math.abs(seconds)} s ${direction} the issuer's: gateways tolerate 60 s`,
      'Check the time synchronisation of both.',
    ),
  ]
}
