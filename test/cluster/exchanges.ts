import { Agent, request } from 'node:http'

/** Exchanges an API key at a steady rate, each over a connection of its own, and counts what was not 200. */
export class Exchanges {
  readonly #url: string
  readonly #form: string
  readonly #timer: NodeJS.Timeout
  readonly #agent = new Agent({ keepAlive: false })
  #underWay = 0
  done = 0
  readonly failures: string[] = []

  constructor(url: string, apiKey: string, perSecond: number) {
    this.#url = `${url}/oauth/token`
    this.#form = new URLSearchParams({ grant_type: 'client_credentials', client_secret: apiKey }).toString()
    this.#timer = setInterval(() => this.#send(), 1_000 / perSecond)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    while (this.#underWay > 0) await new Promise(resolve => setTimeout(resolve, 10))
  }

  #send(): void {
    this.#underWay++
    const end = (failure?: string) => {
      this.#underWay--
      this.done++
      if (failure) this.failures.push(failure)
    }
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': `${this.#form.length}`,
    }
    const sent = request(this.#url, { method: 'POST', headers, agent: this.#agent }, answer => {
      answer.resume()
      answer.once('end', () => end(answer.statusCode === 200 ? undefined : `${answer.statusCode}`))
      answer.once('error', error => end(error.message))
    })
    sent.once('error', error => end(error.message))
    sent.end(this.#form)
  }
}
