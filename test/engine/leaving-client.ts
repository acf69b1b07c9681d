import { request } from 'node:http'
import { eventsOf } from './answer-usage.ts'

/** A request whose client leaves before its end. */
export interface Leaving {
  path: string
  /** Bearer token, or API key. */
  credential: string
  body: object
}

const post = (url: string, { path, credential }: Leaving) =>
  request(`${url}${path}`, {
    method: 'POST',
    // A connection of its own, which ends with it.
    agent: false,
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
  })

/** A streamed request that is given up once so many events have arrived. What it has received, as text. */
export function leaveAfter(events: number, url: string, leaving: Leaving): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = post(url, leaving)
    sent.once('error', reject)
    sent.once('response', response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
        if (eventsOf(text).length >= events) sent.destroy()
      })
      response.once('error', () => {})
      response.once('close', () => resolve(text))
    })
    sent.end(JSON.stringify({ ...leaving.body, stream: true }))
  })
}

/** A request that is not streamed, given up once `when` is over. @throws {Error} when it was answered before */
export async function leaveWhen(when: () => Promise<unknown>, url: string, leaving: Leaving): Promise<void> {
  let answered = false
  const sent = post(url, leaving)
  const over = new Promise<void>(resolve => sent.once('close', resolve))
  sent.on('error', () => {})
  sent.once('response', () => {
    answered = true
  })
  sent.end(JSON.stringify(leaving.body))
  try {
    await when()
    if (answered) throw new Error('it was answered before its client left')
  } finally {
    sent.destroy()
  }
  await over
}
