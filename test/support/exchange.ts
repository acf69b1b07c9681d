/** What a token endpoint answered. */
export interface Exchange {
  status: number
  /** Empty when there is none. */
  token: string
}

/** Sends a form to a token endpoint. */
export async function exchange(url: string, form: Record<string, string>): Promise<Exchange> {
  const answer = await fetch(url, { method: 'POST', body: new URLSearchParams(form) })
  const { access_token: token = '' } = (await answer.json()) as { access_token?: string }
  return { status: answer.status, token }
}
