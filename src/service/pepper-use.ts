import { hasTokensOnPepper } from '../admin-tokens/admin-token-repository.ts'
import { hasSecretsOnPepper, secretsOnOtherPeppers } from '../api-keys/pepper-use-repository.ts'
import {
  type CountOnOtherPeppers,
  type IsPepperInUse,
  isPepperInSeals,
  sealsOnOtherPeppers,
} from '../installation/secret-use.ts'
import { hasReportersOnPepper } from '../usage/usage-reporter-repository.ts'

/** Whether a usable secret of a key, a usable admin token, a usage reporter, or a seal depends on this pepper. */
export const isPepperInUse: IsPepperInUse = async (db, id) =>
  (await hasSecretsOnPepper(db, id)) ||
  (await hasTokensOnPepper(db, id)) ||
  (await hasReportersOnPepper(db, id)) ||
  (await isPepperInSeals(db, id))

/** Number of usable secrets and of seals that depend on another pepper than this one. */
export const countOnOtherPeppers: CountOnOtherPeppers = async (db, current) => {
  const secrets = await secretsOnOtherPeppers(db, current)
  const seals = await sealsOnOtherPeppers(db, current)
  const ids = [...new Set([...Object.keys(secrets), ...Object.keys(seals)])].sort()
  return Object.fromEntries(ids.map(id => [id, (secrets[id] ?? 0) + (seals[id] ?? 0)]))
}
