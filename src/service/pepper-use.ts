import { hasTokensOnPepper, tokensOnOtherPeppers } from '../admin-tokens/admin-token-repository.ts'
import { hasSecretsOnPepper, secretsOnOtherPeppers } from '../api-keys/pepper-use-repository.ts'
import {
  type FindOnOtherPeppers,
  type IsPepperInUse,
  isPepperInSeals,
  sealsOnOtherPeppers,
} from '../installation/secret-use.ts'
import { hasReportersOnPepper, reportersOnOtherPeppers } from '../usage/usage-reporter-repository.ts'

/** Whether a usable secret of a key, a usable admin token, a usage reporter, or a seal depends on this pepper. */
export const isPepperInUse: IsPepperInUse = async (db, id) =>
  (await hasSecretsOnPepper(db, id)) ||
  (await hasTokensOnPepper(db, id)) ||
  (await hasReportersOnPepper(db, id)) ||
  (await isPepperInSeals(db, id))

/** The same for all peppers but this one, counted and named. */
export const findOnOtherPeppers: FindOnOtherPeppers = async (db, current) => {
  const adminTokens = await tokensOnOtherPeppers(db, current)
  const usageReporters = await reportersOnOtherPeppers(db, current)
  const counts = { ...(await secretsOnOtherPeppers(db, current)) }
  const add = (id: string, count: number) => {
    counts[id] = (counts[id] ?? 0) + count
  }
  for (const [id, count] of Object.entries(await sealsOnOtherPeppers(db, current))) add(id, count)
  for (const { pepper } of [...adminTokens, ...usageReporters]) add(pepper, 1)
  const sorted = Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return { counts: Object.fromEntries(sorted), adminTokens, usageReporters }
}
