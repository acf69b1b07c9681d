import {
  LONGEST_JWKS_MAX_AGE_SECONDS,
  MAX_AGES_IN_A_LEAD,
  MOST_PUBLISHED_KEYS,
} from '../../config/rotation-policy.ts'
import { VERIFIERS } from '../../signing-keys/verifiers.ts'
import type { Answer } from '../http-call.ts'
import { type Finding, fault, ok } from './finding.ts'

export interface Jwks {
  keys: Record<string, unknown>[]
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth']

/** RFC 7517 §5, and the requirements of verifiers. */
export function jwksFindings(
  url: string,
  { status, headers, body }: Answer,
): { findings: Finding[]; jwks?: Jwks } {
  const { keys } = (body ?? {}) as { keys?: unknown }
  if (status !== 200 || !Array.isArray(keys)) {
    return {
      findings: [
        fault(
          'jwks',
          `${url} answers ${status} without a list of keys: gateways that start now reject every token`,
          'Read /readyz; check the routes of the proxy in front of the public listener.',
        ),
      ],
    }
  }
  const jwks = { keys: keys as Jwks['keys'] }
  return { findings: [...setFindings(jwks), ...successionFindings(jwks), ...cacheFindings(headers)], jwks }
}

function setFindings({ keys }: Jwks): Finding[] {
  const findings: Finding[] = []
  if (keys.length === 0)
    findings.push(fault('jwks', 'the set is empty: Envoy rejects it, and no token verifies', 'Read /readyz.'))
  if (keys.length > MOST_PUBLISHED_KEYS) {
    findings.push(
      fault(
        'jwks',
        `${keys.length} keys are published: some verifiers accept at most ${MOST_PUBLISHED_KEYS}`,
        'Use fewer algorithms, or rotate less often.',
      ),
    )
  }
  if (keys.some(key => PRIVATE_MEMBERS.some(member => member in key)))
    findings.push(
      fault('jwks', 'a PRIVATE key is published', 'Revoke it at once: mintmark signing-key revoke <kid>'),
    )
  const incomplete = keys.filter(
    key => !['kty', 'kid', 'alg', 'use'].every(member => typeof key[member] === 'string'),
  )
  if (incomplete.length > 0)
    findings.push(
      fault(
        'jwks',
        `${incomplete.length} keys lack kty, kid, alg or use`,
        'Look for a proxy that changes the JWKS.',
      ),
    )
  if (new Set(keys.map(key => key.kid)).size < keys.length)
    findings.push(fault('jwks', 'two keys have the same kid', 'Look for a proxy that changes the JWKS.'))
  return findings.length > 0 ? findings : [ok('jwks', `${keys.length} public keys, complete`)]
}

/** An algorithm with one key has no standby that verifiers could fetch in advance. */
function successionFindings({ keys }: Jwks): Finding[] {
  const algs = [...new Set(keys.map(key => String(key.alg)))]
  const alone = algs.filter(alg => keys.filter(key => key.alg === alg).length < 2)
  if (alone.length === 0)
    return keys.length === 0
      ? []
      : [ok('succession', `the next key of ${algs.join(' and ')} is already published`)]
  return [
    fault(
      'succession',
      `only one key of ${alone.join(' and ')} is published: verifiers will not know the next one when it signs`,
      'Look for errors of the rotation in the log, or release a held key.',
    ),
  ]
}

/** RFC 9111 §5.2.2.1, RFC 9110 §8.8.3. */
function cacheFindings(headers: Headers): Finding[] {
  const found = /(?:^|[ ,])max-age=(\d+)/.exec(headers.get('cache-control') ?? '')
  const findings: Finding[] = []
  if (!found)
    findings.push(
      fault(
        'caching',
        'Cache-Control has no max-age: caches in between may keep the keys indefinitely',
        'Let the proxy in between pass Cache-Control on.',
      ),
    )
  else if (Number(found[1]) > LONGEST_JWKS_MAX_AGE_SECONDS)
    findings.push(
      fault(
        'caching',
        `max-age is ${found[1]} s: a proxy in between changed it, because Mintmark sends at most 300`,
        'Let the proxy in between pass Cache-Control on.',
      ),
    )
  else if (Number(found[1]) < LONGEST_JWKS_MAX_AGE_SECONDS) {
    const leadSeconds = Number(found[1]) * MAX_AGES_IN_A_LEAD
    findings.push(
      fault(
        'caching',
        `max-age is ${found[1]} s, so keys are published for less than ${leadSeconds + MAX_AGES_IN_A_LEAD} s before they sign: too short for ${missed(leadSeconds)}`,
        'Lengthen it: mintmark installation update --publish-lead-seconds 7200. If it is that long, a proxy in between changed max-age.',
      ),
    )
  } else findings.push(ok('caching', 'max-age is 300 s'))
  const etag = headers.get('etag')
  const strong = etag !== null && !etag.startsWith('W/')
  return [
    ...findings,
    strong
      ? ok('etag', 'strong')
      : fault(
          'etag',
          'no strong ETag: a proxy in between changed the response',
          'Let it pass the response on unchanged.',
        ),
  ]
}

/** The verifiers that may not fetch a key within its lead. */
export const missed = (leadSeconds: number): string =>
  VERIFIERS.filter(verifier => verifier.afterFailureSeconds > leadSeconds)
    .map(verifier => `${verifier.name}, ${verifier.afterFailureSeconds} s`)
    .join('; ')
