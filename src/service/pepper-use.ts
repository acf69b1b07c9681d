import { hasTokensOnPepper } from '../admin-tokens/admin-token-repository.ts'
import { hasSecretsOnPepper } from '../api-keys/pepper-use-repository.ts'
import type { IsPepperInUse } from '../installation/secret-use.ts'

/** Whether a usable secret of a key, or a usable admin token, is stored under this pepper. */
export const isPepperInUse: IsPepperInUse = async (db, id) =>
  (await hasSecretsOnPepper(db, id)) || (await hasTokensOnPepper(db, id))
