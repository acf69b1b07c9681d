import { formatCredential, randomId } from '../../../src/api-keys/api-key.ts'
import { systemRandom } from '../../../src/system/random.ts'
import { withAnotherSignature } from '../../support/altered.ts'
import { questionFor } from '../talking-engine.ts'
import { FOREIGN_MODEL, type Kind, MODEL, type Setting, type Subject } from './setting.ts'

/** What does not run while clients ask, one after another. */
export const PHASES = [
  'all run',
  'bodies are long',
  'the engine is stopped',
  'Mintmark hangs',
  'Mintmark is stopped',
] as const
export type Phase = (typeof PHASES)[number]

/** What a client sends. */
export interface Question {
  credential: string
  model: string
  text: string
  /** How often the text is repeated. */
  repeated: number
  stream: boolean
}

/** The kinds of outcome that an SDK distinguishes. */
export type Outcome = 'answer' | 401 | 403 | 413 | 429 | 503

/** One thing that can happen to a client at a gateway. */
export interface Situation {
  phase: Phase
  /** For a heading: the status first, where there is one. */
  name: string
  kind: Kind
  outcome: Outcome
  /** The statuses of the client's requests, one after another. */
  statuses: readonly number[]
  question: Question
}

/** OpenAI's clients, LangChain and `curl --retry 2` send a request twice more. */
const RETRIED = 3
const all = (status: number) => Array.from({ length: RETRIED }, () => status)
const BODY_LIMIT = 4 * 1024 * 1024
const LONG_BODY = 3 * 1024 * 1024

/** What is tried at this gateway in this phase. */
export function situationsOf(phase: Phase, subject: Subject, { credentials }: Setting): Situation[] {
  const found: Situation[] = []
  for (const kind of subject.credentials) {
    const asked = { model: MODEL, text: 'Hello', repeated: 1, stream: false }
    const add = (
      name: string,
      outcome: Outcome,
      statuses: readonly number[],
      changes: Partial<Question> = {},
    ) => {
      const credential = credentials[kind]
      found.push({
        phase,
        name,
        kind,
        outcome,
        statuses,
        question: { credential, ...asked, ...changes },
      })
    }
    switch (phase) {
      case 'all run':
        add('200', 'answer', [200])
        add('200, streamed', 'answer', [200], { stream: true })
        add(BAD[kind], 401, [401], { credential: badCredential(kind, credentials.token) })
        if (subject.checksModel) add("403: another tenant's model", 403, [403], { model: FOREIGN_MODEL })
        add('429 from the engine, once', 'answer', [429, 200], { text: questionFor(429, 'once') })
        add('429 from the engine', 429, all(429), { text: questionFor(429) })
        add('503 from the engine', 503, all(503), { text: questionFor(503) })
        break
      case 'bodies are long':
        add('413: a body over 4 MiB', 413, [413], { text: 'x', repeated: BODY_LIMIT + 1 })
        add(`${BAD[kind]}, with a body of 3 MiB`, 401, [401], {
          ...{ text: 'x', repeated: LONG_BODY },
          credential: badCredential(kind, credentials.token),
        })
        break
      case 'the engine is stopped':
        add('503: the engine is stopped', 503, all(503))
        break
      case 'Mintmark hangs':
      case 'Mintmark is stopped':
        if (kind === 'token' && subject.verifiesTokens) {
          add(`200 while ${phase}`, 'answer', [200])
          add(`200, streamed, while ${phase}`, 'answer', [200], { stream: true })
          add(`${BAD.token}, while ${phase}`, 401, [401], {
            credential: badCredential(kind, credentials.token),
          })
          if (subject.checksModel)
            add(`403: another tenant's model, while ${phase}`, 403, [403], { model: FOREIGN_MODEL })
        } else add(`503: ${phase}`, 503, all(503), kind === 'key' ? { credential: credentials.unseen } : {})
    }
  }
  return found
}

const BAD = { key: '401: an unknown API key', token: '401: a token with a changed signature' }

/** Well-formed, so that more than its form has to be checked. */
function badCredential(kind: Kind, token: string): string {
  if (kind === 'key') return formatCredential('mmk', randomId(systemRandom), systemRandom)
  return withAnotherSignature(token)
}
