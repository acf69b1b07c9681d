import { hkdfSync } from 'node:crypto'
import { LONGEST_MESSAGE_BYTES, MESSAGE_CHANNEL, notify } from '../database/change-feed.ts'
import type { Database } from '../database/database.ts'
import type { Clock } from '../system/clock.ts'
import type { Random } from '../system/random.ts'
import { openText, sealText } from '../system/sealed-text.ts'
import { type NamedKey, Secret } from '../system/secret.ts'
import { withTimeout } from '../system/timeout.ts'
import { firstOf } from './installation-secrets.ts'

/** Answers take some milliseconds. A replica of an older version does not answer. */
const PATIENCE_MS = 1_000
/** Questions of this process that wait for answers. */
const MOST_ASKED = 10
/** Answers of this process in one second, because anyone in the database can repeat a question. */
const MOST_ANSWERED = 50

const QUESTION = 'question'
const ANSWER = 'answer'
const FORM = /^(question|answer):([\w-]{22}):([\w-]+):([\w-]+)$/

interface Pending {
  expected: number
  answers: unknown[]
  complete: () => void
}

/** What other replicas answered. `running`: how many there are. */
export interface Answers {
  running: number
  answers: unknown[]
}

/**
 * Asks the other replicas what only they remember, through NOTIFY of Postgres: nothing is stored, and nothing is sent unless an
 * administrator asks. Every role of a database can read and send notifications, so messages are sealed (AES-256-GCM) with
 * a key derived from an encryption key (RFC 5869), which the database never holds.
 */
export class ReplicaQuestions {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #keys: readonly NamedKey[]
  readonly #countOthers: () => Promise<number>
  readonly #answer: (question: unknown) => unknown[]
  readonly #pending = new Map<string, Pending>()
  #answered = { second: 0, count: 0 }

  /** `answer`: what this process remembers of the question, the most important first. What does not fit is left out. */
  constructor(options: {
    database: Database
    clock: Clock
    random: Random
    encryptionKeys: readonly NamedKey[]
    countOthers: () => Promise<number>
    answer: (question: unknown) => unknown[]
  }) {
    this.#database = options.database
    this.#clock = options.clock
    this.#random = options.random
    this.#keys = options.encryptionKeys.map(({ id, key }) => ({
      id,
      key: new Secret(Buffer.from(hkdfSync('sha256', key.reveal(), '', 'mintmark replica message', 32))),
    }))
    this.#countOthers = options.countOthers
    this.#answer = options.answer
  }

  /** Waits for all running replicas, at most a second. Undefined: they cannot be asked now. */
  async ask(question: object): Promise<Answers | undefined> {
    if (this.#pending.size >= MOST_ASKED) return undefined
    const id = this.#random.bytes(16).toString('base64url')
    let complete = () => {}
    const completed = new Promise<void>(resolve => {
      complete = resolve
    })
    const pending: Pending = { expected: 0, answers: [], complete }
    this.#pending.set(id, pending)
    try {
      pending.expected = await this.#countOthers()
      if (pending.expected === 0) return { running: 0, answers: [] }
      await this.#send(QUESTION, id, JSON.stringify(question))
      await withTimeout(this.#clock, PATIENCE_MS, completed)
      return { running: pending.expected, answers: pending.answers }
    } catch {
      // Without Postgres there is no way to the others.
      return undefined
    } finally {
      this.#pending.delete(id)
    }
  }

  /** Receives a message from the channel. What is not from a replica with the same keys has no effect. */
  heard(message: string): void {
    const [, kind, id = '', keyId, sealed = ''] = FORM.exec(message) ?? []
    if (kind === ANSWER && !this.#pending.has(id)) return
    // Its own question comes back too.
    if (kind === QUESTION && (this.#pending.has(id) || !this.#mayAnswer())) return
    const key = this.#keys.find(each => each.id === keyId)
    const text = key && openText(key, `${kind}:${id}`, Buffer.from(sealed, 'base64url'))
    if (text === undefined) return
    const content: unknown = JSON.parse(text)
    if (kind === QUESTION) void this.#reply(id, this.#answer(content))
    else this.#take(id, content)
  }

  #take(id: string, content: unknown): void {
    const pending = this.#pending.get(id)
    if (!pending) return
    pending.answers.push(content)
    if (pending.answers.length >= pending.expected) pending.complete()
  }

  async #reply(id: string, found: readonly unknown[]): Promise<void> {
    for (let most = found.length; most >= 0; most--)
      if (await this.#send(ANSWER, id, JSON.stringify(found.slice(0, most))).catch(() => true)) return
  }

  /** False: it is too long. */
  async #send(kind: string, id: string, text: string): Promise<boolean> {
    const key = firstOf(this.#keys)
    const sealed = sealText(key, `${kind}:${id}`, text, this.#random).toString('base64url')
    const message = `${kind}:${id}:${key.id}:${sealed}`
    if (message.length > LONGEST_MESSAGE_BYTES) return false
    await this.#database.run(db => notify(db, MESSAGE_CHANNEL, message))
    return true
  }

  #mayAnswer(): boolean {
    const second = Math.floor(this.#clock.monotonicMs() / 1000)
    if (this.#answered.second !== second) this.#answered = { second, count: 0 }
    return ++this.#answered.count <= MOST_ANSWERED
  }
}
