import { decodeJwt, decodeProtectedHeader } from 'jose'

/**
 * An issued token. `sentAt`, `at`: when its request was sent and when its response had arrived, in milliseconds of
 * performance.now().
 */
export interface Issued {
  jwt: string
  kid: string
  member: number
  sentAt: number
  at: number
  /** In database time, in seconds. */
  iat: number
}

/** Exchanges at a constant rate, from all replicas in turn, until stopped. */
export interface Load {
  issued: Issued[]
  /** Responses other than 200, with the replica and the message. */
  refused: { member: number; status: number | string; words: string | undefined; at: number }[]
  stop(): Promise<void>
}

const TICK_MS = 50

export function startLoad(
  urls: readonly string[],
  secret: string,
  perSecond: number,
  hear: (token: Issued) => void = () => {},
): Load {
  const issued: Issued[] = []
  const refused: Load['refused'] = []
  const underWay = new Set<Promise<void>>()
  let next = 0
  const exchange = async (member: number) => {
    const form = new URLSearchParams({ grant_type: 'client_credentials', client_secret: secret })
    const sentAt = performance.now()
    try {
      const answer = await fetch(`${urls[member]}/oauth/token`, { method: 'POST', body: form })
      const body = (await answer.json()) as { access_token?: string; error_description?: string }
      const { access_token: jwt, error_description: words } = body
      const at = performance.now()
      if (answer.status !== 200 || jwt === undefined)
        return void refused.push({ member, status: answer.status, words, at })
      const token = {
        jwt,
        kid: decodeProtectedHeader(jwt).kid ?? '',
        member,
        sentAt,
        at,
        iat: decodeJwt(jwt).iat ?? 0,
      }
      issued.push(token)
      hear(token)
    } catch (error) {
      refused.push({ member, status: (error as Error).message, words: undefined, at: performance.now() })
    }
  }
  const begun = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - begun) / 1000) * perSecond)
    for (; sent < due; sent++) {
      const work = exchange(next++ % urls.length).finally(() => underWay.delete(work))
      underWay.add(work)
    }
  }, TICK_MS)
  return {
    issued,
    refused,
    stop: async () => {
      clearInterval(timer)
      await Promise.all(underWay)
    },
  }
}
