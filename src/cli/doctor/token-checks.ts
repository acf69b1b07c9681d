import { CLAIM_HEADERS } from '../../gateway/headers.ts'
import type { AdminClient } from '../admin-client.ts'
import type { Explanation } from '../explain/explained-text.ts'
import { tokenFault } from '../explain/token-fault.ts'
import { decodeJwt } from '../jwt.ts'
import { type Finding, fault, ok, warning } from './finding.ts'

interface Expected {
  issuer: string
  jwksUrl: string
  send: typeof fetch
}

/** Whether the token verifies with the published keys, and the headers that a gateway would derive from it. */
export async function tokenFindings(jwt: string, expected: Expected): Promise<Finding[]> {
  const decoded = decodeJwt(jwt)
  const { claims } = decoded
  const findings = [await verification(jwt, decoded, expected)]
  for (const { claim, header } of CLAIM_HEADERS) {
    const value = claims[claim]
    if (typeof value === 'string') findings.push(ok('header', `${header}: ${value}`))
    else
      findings.push(
        fault(
          'header',
          `${header} would be missing: the claim "${claim}" is not text`,
          'Send a token of Mintmark.',
        ),
      )
  }
  return findings
}

/**
 * Whether the check accepts a token that verifies: the published keys do not show that it, its key or its tenant was
 * stopped. A token for another audience is only a warning: another gateway may accept it.
 */
export async function acceptanceFinding(jwt: string, admin: AdminClient): Promise<Finding> {
  const { reason, text } = await admin.post<Explanation>('/explain', { credential: jwt })
  if (reason === null) return ok('token', 'the check accepts it')
  const found = reason === 'token_audience' ? warning : fault
  return found('token', `the check refuses it: ${reason}`, String(text))
}

async function verification(
  jwt: string,
  decoded: ReturnType<typeof decodeJwt>,
  { issuer, jwksUrl, send }: Expected,
): Promise<Finding> {
  const { verifyAsGateway } = await import('../../tokens/token-verifier.ts')
  const audience = String([decoded.claims.aud].flat()[0])
  try {
    await verifyAsGateway(jwt, { jwksUrl, issuer, audience, send })
    return ok('token', `signature, type, issuer and expiry are valid; its audience is "${audience}"`)
  } catch (error) {
    return fault(
      'token',
      `it does not verify: ${tokenFault(error as Error, decoded, { issuer, audience })}`,
      'Exchange the API key again, at this issuer. "mintmark explain" names the rule that refuses it.',
    )
  }
}
