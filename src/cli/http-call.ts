import { CliError, EXIT } from './exit-codes.ts'

const TIMEOUT_MS = 10_000

export interface Answer {
  status: number
  headers: Headers
  /** Parsed JSON; undefined when the response has none. */
  body: unknown
  text: string
}

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

/**
 * One HTTP request with a timeout of ten seconds. Redirects are not followed: they would send the credential elsewhere.
 * @throws {CliError} that names the URL and the cure. `variable` is where the URL was set. `send`: connect-to.ts
 */
export async function httpCall(
  url: string,
  init: RequestInit,
  variable: string,
  send: typeof fetch = fetch,
): Promise<Answer> {
  const { origin } = new URL(url)
  try {
    const response = await send(url, {
      ...init,
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const text = await response.text()
    const answer = { status: response.status, headers: response.headers, body: parsed(response, text), text }
    if (answer.status < 300 || answer.status >= 400) return answer
    throw new CliError(
      EXIT.fault,
      `${origin} answers with a redirect, which is not followed. Check ${variable}.`,
    )
  } catch (error) {
    if (error instanceof CliError) throw error
    throw networkFault(origin, init.method ?? 'GET', variable, error as Error)
  }
}

/** The message when another server responds, which may be a proxy between. */
export function notMintmark(url: string, variable: string, listener: string, answer?: Answer): CliError {
  const [form] = (answer?.headers.get('content-type') ?? 'no content').split(';')
  const what = answer === undefined ? '' : ` (it answers ${answer.status} with ${form})`
  return new CliError(
    EXIT.fault,
    `the server at ${url} is not the ${listener} listener of Mintmark${what}. Check ${variable}, and any proxy between.`,
  )
}

/** In addition to an error after which a change may have been made. */
export const UNKNOWN_OUTCOME = 'It is unknown whether the change was made: check before you retry.'

function parsed(response: Response, text: string): unknown {
  if (!/json/.test(response.headers.get('content-type') ?? '')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])
const MAY_PASS =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_SOCKET|UND_ERR_CONNECT_TIMEOUT|TimeoutError)$/

function networkFault(origin: string, method: string, variable: string, error: Error): ConnectionFault {
  const code = codeOf(error)
  const neverSent = NEVER_SENT.has(code) || isCertificate(code) || isHandshake(code)
  return new ConnectionFault(explained(origin, variable, code), {
    mayHaveRun: !neverSent,
    mayPass: MAY_PASS.test(code),
    isChange: method !== 'GET',
  })
}

/** The system's error code, if any. A time-out has a number for historical reasons, and fetch forbids some ports. */
function codeOf(error: Error): string {
  if (error.name === 'TimeoutError') return error.name
  const cause = (error.cause ?? error) as NodeJS.ErrnoException
  return cause.code ?? cause.message
}

function explained(origin: string, variable: string, code: string): string {
  if (code === 'TimeoutError')
    return `${origin} did not answer within ${TIMEOUT_MS / 1000} seconds. Retry, or check ${variable}.`
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `the host of ${origin} has no address (${code}). Check ${variable}.`
  if (isCertificate(code)) {
    return `the certificate of ${origin} was not accepted (${code}). Add its authority with NODE_EXTRA_CA_CERTS.`
  }
  if (isHandshake(code) || /HPE_|UND_ERR_SOCKET|ECONNRESET|does not match the HTTP/.test(code)) {
    return `${origin} closed the connection (${code}). Check ${variable}: http or https?`
  }
  // fetch hides this one answer.
  if (code === '') return `a proxy before ${origin} may ask for a password (407). Check ${variable}.`
  return `no connection to ${origin} (${code}). Check that the service runs, and ${variable}.`
}

const isCertificate = (code: string) => /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/.test(code)
const isHandshake = (code: string) => /SSL|EPROTO/.test(code)
