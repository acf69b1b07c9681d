import type { Command } from 'commander'
import { systemClock } from '../../../system/clock.ts'
import { fetchThrough } from '../../connection/fetch-through.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import { tokenFault } from '../../explain/token-fault.ts'
import { httpCall } from '../../http-call.ts'
import { readInput } from '../../input.ts'
import { decodeJwt, tokenIn } from '../../jwt.ts'
import { moment, type Output } from '../../output.ts'
import { record } from '../../table.ts'
import { printableJson, styled } from '../../terminal-text.ts'
import { action, resultVerb } from '../../verb.ts'

type Json = Record<string, unknown>

interface Decoded {
  header: Json
  claims: Json
}

/** The configuration of a gateway: where the keys are, and the required `iss` and `aud`. */
interface Expectation {
  jwks?: string
  issuer?: string
  audience?: string
}

export function inspectCommand(token: Command, environment: NodeJS.ProcessEnv): void {
  const command = resultVerb(token, 'inspect [file]', {
    summary: 'show the claims of a token, and verify it',
    details:
      'Reads the token from a file or standard input; a response of the token endpoint works too. The token is ' +
      'verified only with --issuer or --jwks: then signature, type and expiry are checked with the published keys, ' +
      'as a gateway does, and a token that fails is not shown.',
    examples: [
      'mintmark token get --key-file nightly.key | mintmark token inspect',
      'mintmark token inspect token.jwt --issuer https://tokens.example.com --audience vllm',
      'mintmark token inspect token.jwt --jwks http://127.0.0.1:8080/.well-known/jwks.json',
    ],
    quiet: 'print only the id of the token (jti)',
  })
    .option('--issuer <url>', 'expected "iss"; its metadata locates the keys, unless --jwks does')
    .option('--jwks <url>', 'URL of the published keys')
    .option('--audience <name>', 'expected "aud", or one of its entries')
  command.action(
    action<[file: string | undefined]>(environment, async ({ output }, file) => {
      const expectation = checked(command.opts<Expectation>())
      const jwt = tokenIn(
        await readInput(file, 'no token: name a file, or pipe the token to standard input.'),
      )
      const decoded = decodeJwt(jwt)
      const send = fetchThrough(environment)
      const keys = await jwksUrl(expectation, send)
      if (keys !== undefined) await verify(jwt, decoded, { jwksUrl: keys, send }, expectation)
      await show(output, decoded, verdict(keys, expectation))
    }),
  )
}

function checked(expectation: Expectation): Expectation {
  const { jwks, issuer, audience } = expectation
  if (audience !== undefined && jwks === undefined && issuer === undefined) {
    throw new CliError(EXIT.usage, '--audience is checked only together with --issuer or --jwks.')
  }
  for (const [flag, url] of Object.entries({ '--jwks': jwks, '--issuer': issuer })) {
    if (url !== undefined && !/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) {
      throw new CliError(EXIT.usage, `${flag} must be an http or https URL.`)
    }
  }
  return expectation
}

/** undefined: nothing to verify with. OpenID Connect Discovery §4.3: the metadata must name the requested issuer. */
async function jwksUrl({ jwks, issuer }: Expectation, send: typeof fetch): Promise<string | undefined> {
  if (jwks !== undefined || issuer === undefined) return jwks
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const { status, body } = await httpCall(url, {}, '--issuer, or name the keys with --jwks', send)
  const metadata = (body ?? {}) as Json
  if (status >= 500) throw new CliError(EXIT.unavailable, `${url} answers ${status}. Retry.`)
  if (status !== 200 || typeof metadata.jwks_uri !== 'string' || !URL.canParse(metadata.jwks_uri)) {
    throw new CliError(
      EXIT.fault,
      `${url} is not the metadata of an issuer. Check --issuer, or name the keys with --jwks.`,
    )
  }
  if (metadata.issuer === issuer) return metadata.jwks_uri
  throw new CliError(
    EXIT.refused,
    `the metadata at ${url} names the issuer "${metadata.issuer}", and not "${issuer}": give --issuer byte for byte, also the "/" at its end.`,
  )
}

/** Without --issuer and --audience the token is compared with itself: the result says so. @throws {CliError} */
async function verify(
  jwt: string,
  decoded: Decoded,
  keys: { jwksUrl: string; send: typeof fetch },
  expectation: Expectation,
): Promise<void> {
  const { verifyAsGateway } = await import('../../../tokens/token-verifier.ts')
  const { claims } = decoded
  const issuer = expectation.issuer ?? String(claims.iss)
  const audience = expectation.audience ?? String([claims.aud].flat()[0])
  try {
    await verifyAsGateway(jwt, { ...keys, issuer, audience })
  } catch (error) {
    const { code = '', message, cause } = error as NodeJS.ErrnoException
    const aboutTheToken = /^ERR_(JWT|JWS|JOSE_ALG|JOSE_NOT_SUPPORTED|JWKS_NO_MATCHING|JWKS_MULTIPLE)/.test(
      code,
    )
    if (aboutTheToken)
      throw new CliError(
        EXIT.refused,
        `the token does not verify: ${tokenFault(error as Error, decoded, { issuer, audience })}.`,
        [WITHOUT],
      )
    const why = (cause as NodeJS.ErrnoException | undefined)?.code ?? message
    throw new CliError(
      EXIT.unavailable,
      `the keys at ${keys.jwksUrl} cannot be fetched (${why}). Check --jwks or --issuer.`,
    )
  }
}

const WITHOUT = 'Without --issuer and --jwks the command shows its claims.'

interface Verdict {
  verified: boolean
  keys: string | null
  issuer: string | null
  audience: string | null
}

const verdict = (keys: string | undefined, { issuer, audience }: Expectation): Verdict => ({
  verified: keys !== undefined,
  keys: keys ?? null,
  issuer: issuer ?? null,
  audience: audience ?? null,
})

async function show(output: Output, { header, claims }: Decoded, verification: Verdict): Promise<void> {
  const sections = [
    styled('bold', 'header'),
    record(entriesOf(header)),
    '',
    styled('bold', 'claims'),
    record(entriesOf(claims)),
  ]
  await output.either({
    text: sections.join('\n'),
    json: { header, claims, verification },
    id: String(claims.jti ?? ''),
  })
  output.note(`\n${inWords(verification)}`)
}

function inWords({ verified, keys, issuer, audience }: Verdict): string {
  if (!verified) return 'NOT VERIFIED: anyone can write such a token. Use --issuer or --jwks to verify it.'
  const unchecked = [issuer === null && '"iss" (--issuer)', audience === null && '"aud" (--audience)'].filter(
    Boolean,
  )
  const rest = unchecked.length === 0 ? '' : ` Not compared: ${unchecked.join(', ')}.`
  return `Verified with ${keys}: signature, type and expiry are valid.${rest}`
}

function entriesOf(members: Json): [string, string][] {
  return Object.entries(members).map(([name, value]) => {
    if (['iat', 'exp', 'nbf'].includes(name) && typeof value === 'number')
      return [name, `${value}  (${instant(value)})`]
    return [name, typeof value === 'string' ? value : printableJson(value).replace(/\s+/g, ' ')]
  })
}

/** An instant of a token, and its distance from now. */
function instant(epochSeconds: number): string {
  const date = new Date(epochSeconds * 1000)
  if (Number.isNaN(date.getTime())) return 'not a time'
  const seconds = Math.round(epochSeconds - systemClock.wallMs() / 1000)
  return `${moment(date.toISOString())}, ${seconds < 0 ? `${-seconds} s ago` : `in ${seconds} s`}`
}
