import { CliError, EXIT } from '../exit-codes.ts'
import { ThroughProxy } from './fetch-through.ts'

export const TIMEOUT_SECONDS = 10

/** In addition to an error after which a change may have been made. */
export const UNKNOWN_OUTCOME = 'It is unknown whether the change was made: check before you retry.'

/** No answer came. */
export class ConnectionFault extends CliError {
  /** Whether the request can have been carried out. */
  readonly mayHaveRun: boolean
  /** Whether it may be over in a moment; not so for a wrong name or certificate. */
  readonly mayPass: boolean

  constructor(message: string, fault: { mayHaveRun: boolean; mayPass: boolean; isChange: boolean }) {
    super(EXIT.unavailable, message, fault.mayHaveRun && fault.isChange ? [UNKNOWN_OUTCOME] : [])
    this.mayHaveRun = fault.mayHaveRun
    this.mayPass = fault.mayPass
  }
}

const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'ERR_PROXY_TUNNEL',
])
const MAY_PASS =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_SOCKET|UND_ERR_CONNECT_TIMEOUT|TimeoutError)$/

/** What a failed request to an origin means, and the cure. `variable` is where the URL was set. */
export function networkFault(
  origin: string,
  method: string,
  variable: string,
  error: Error,
): ConnectionFault {
  const proxy = error instanceof ThroughProxy ? error.proxy.title : undefined
  const inner = error instanceof ThroughProxy ? (error.cause as Error) : error
  const code = codeOf(inner)
  const refusal = proxy === undefined ? undefined : tunnelFault(origin, proxy, inner, code)
  const neverSent = NEVER_SENT.has(code) || isCertificate(code) || isHandshake(code)
  return new ConnectionFault(refusal?.text ?? explained(origin, variable, code), {
    mayHaveRun: !neverSent,
    mayPass: refusal?.mayPass ?? MAY_PASS.test(code),
    isChange: method !== 'GET',
  })
}

/** The proxy of a plain request asks for a password, as fetch hides it. */
export const proxyAsks = (origin: string, proxy = `a proxy before ${origin}`): CliError =>
  new CliError(EXIT.unavailable, passwordAsked(proxy))

const passwordAsked = (proxy: string) =>
  `${proxy} asks for a user and password (407). Put them into its URL: http://user:password@host:port.`

/** What a proxy, or the way to it, has to do with it; undefined: nothing. */
function tunnelFault(
  origin: string,
  proxy: string,
  error: Error,
  code: string,
): { text: string; mayPass: boolean } | undefined {
  if (NEVER_SENT.has(code) && code !== 'ERR_PROXY_TUNNEL')
    return { text: `no connection to ${proxy} (${code}). Check the variable.`, mayPass: MAY_PASS.test(code) }
  if (code !== 'ERR_PROXY_TUNNEL') return undefined
  const [, status] = /HTTP\/\d\.\d (\d{3})/.exec(error.message) ?? []
  if (status === '407') return { text: passwordAsked(proxy), mayPass: false }
  const { host, hostname } = new URL(origin)
  const cure =
    status === '403'
      ? `Ask for ${host} to be allowed, or if it is reachable without the proxy: NO_PROXY=${hostname}`
      : `Check that the proxy reaches ${host}, or if it is reachable without it: NO_PROXY=${hostname}`
  const answer = status === undefined ? 'gives no connection' : `answers ${status} instead of a connection`
  return { text: `${proxy} ${answer} to ${host}. ${cure}`, mayPass: /^50[234]$/.test(status ?? '') }
}

/** The system's error code, if any. A time-out has a number for historical reasons, and fetch forbids some ports. */
function codeOf(error: Error): string {
  if (error.name === 'TimeoutError') return error.name
  const { code } = error as NodeJS.ErrnoException
  if (code !== undefined) return code
  const cause = (error.cause ?? error) as NodeJS.ErrnoException
  return cause.code ?? cause.message
}

function explained(origin: string, variable: string, code: string): string {
  if (code === 'TimeoutError')
    return `${origin} did not answer within ${TIMEOUT_SECONDS} seconds. Retry, or check ${variable}.`
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `the host of ${origin} has no address (${code}). Check ${variable}. If only a proxy reaches it: set HTTPS_PROXY.`
  if (isCertificate(code))
    return `the certificate of ${origin} was not accepted (${code}). ${certificateCure(code, variable)}`
  if (isHandshake(code) || /HPE_|UND_ERR_SOCKET|ECONNRESET|does not match the HTTP/.test(code)) {
    return `${origin} closed the connection (${code}). Check ${variable}: http or https?`
  }
  // fetch hides this one answer.
  if (code === '') return passwordAsked(`a proxy before ${origin}`)
  return `no connection to ${origin} (${code}). Check that the service runs, and ${variable}.`
}

/** Certificates are never ignored: there is no option for it. */
function certificateCure(code: string, variable: string): string {
  if (code === 'CERT_HAS_EXPIRED') return 'It has expired: replace it, or correct the clock of this machine.'
  if (code === 'CERT_NOT_YET_VALID') return 'It is not valid yet: correct the clock of this machine.'
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `It is for other names: check the host in ${variable}.`
  const inspected = code === 'SELF_SIGNED_CERT_IN_CHAIN' ? ", which may be a proxy's that inspects TLS" : ''
  return `Add its authority${inspected}: NODE_EXTRA_CA_CERTS=<file>, "mintmark login --ca-file", or NODE_USE_SYSTEM_CA=1 if this machine trusts it.`
}

const isCertificate = (code: string) => /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS/.test(code)
const isHandshake = (code: string) => /SSL|EPROTO/.test(code)
