import { networkFault, proxyAsks, TIMEOUT_SECONDS } from './connection/network-fault.ts'
import { CliError, EXIT } from './exit-codes.ts'

export interface Answer {
  status: number
  headers: Headers
  /** Parsed JSON; undefined when the response has none. */
  body: unknown
  text: string
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
      signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000),
    })
    const text = await response.text()
    const answer = { status: response.status, headers: response.headers, body: parsed(response, text), text }
    if (answer.status === 407) throw proxyAsks(origin)
    if (answer.status < 300 || answer.status >= 400) return answer
    throw new CliError(
      EXIT.fault,
      `${origin} answers with a redirect${destination(url, answer.headers)}, which is not followed. Check ${variable}.`,
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

/** Where a redirect leads, without the query, which may have a token. */
function destination(from: string, headers: Headers): string {
  const to = URL.parse(headers.get('location') ?? '', from)
  if (!to) return ''
  const isOther = to.origin !== new URL(from).origin
  return ` to ${to.origin}${to.pathname}${isOther ? ", which may be a proxy's login page" : ''}`
}

function parsed(response: Response, text: string): unknown {
  if (!/json/.test(response.headers.get('content-type') ?? '')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
