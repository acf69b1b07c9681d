import type { OtherReplicas } from '../admin/explain/explanation-wire.ts'
import type { Config } from '../config/config.ts'
import {
  newest,
  RecentRefusals,
  type RefusalQuery,
  readRefusal,
  readRefusalQuery,
} from '../http/recent-refusals.ts'
import { ReplicaQuestions } from '../installation/replica-questions.ts'
import type { SigningParts } from './signing.ts'
import type { Storage, System } from './storage.ts'

/** More of one replica than an explanation shows are not needed. */
const MOST = 10

/** The last refusals of this process, and the way to those of the others. */
export interface RememberedParts {
  recent: RecentRefusals
  questions: ReplicaQuestions
}

export function buildRemembered(
  { encryptionKeys }: Config,
  { clock, random }: System,
  { database }: Storage,
  { replicas }: SigningParts,
): RememberedParts {
  const recent = new RecentRefusals()
  const questions = new ReplicaQuestions({
    ...{ database, clock, random, encryptionKeys },
    countOthers: () => replicas.countOthers(),
    answer: question => recent.find(readRefusalQuery(question), MOST),
  })
  return { recent, questions }
}

/** What the other replicas remember of it. */
export async function refusalsElsewhere(
  questions: ReplicaQuestions,
  query: RefusalQuery,
): Promise<OtherReplicas> {
  const asked = await questions.ask(query)
  if (!asked) return { refusals: [], running: undefined, answered: 0 }
  const { running, answers } = asked
  const refusals = answers.flatMap(answer => (Array.isArray(answer) ? answer.map(readRefusal) : []))
  const known = refusals.filter(refusal => refusal !== undefined)
  return { refusals: newest(known, MOST), running, answered: answers.length }
}
