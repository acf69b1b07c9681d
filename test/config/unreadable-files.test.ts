import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DatabaseUser } from '../../src/embedded-postgres/user.ts'
import { ordinaryUser, runAs, source } from '../support/ordinary-user.ts'

let folder: string
let keys: string
let user: DatabaseUser | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-secrets-'))
  keys = join(folder, 'keys')
  user = await ordinaryUser(folder)
})
afterEach(async () => {
  await chmod(folder, 0o755)
  await rm(folder, { recursive: true })
})

/** Creates the secrets, or those that are missing, and prints their names or what is in the way. */
const MAKE = `
  import { readConfig } from ${source('config/config.ts')}
  import { developmentSecrets } from ${source('config/development-secrets.ts')}
  import { Env } from ${source('config/env.ts')}
  import { CannotStart } from ${source('errors.ts')}
  import { systemRandom } from ${source('system/random.ts')}
  const [, keys, data] = process.argv
  const config = readConfig(new Env({ MINTMARK_KEYS_DIR: keys, MINTMARK_DATA_DIR: data }))
  try {
    console.log(Object.keys(developmentSecrets(config, systemRandom)).sort().join())
  } catch (error) {
    if (!(error instanceof CannotStart)) throw error
    console.log(error.message)
  }`
const make = () => runAs(user, MAKE, keys, join(folder, 'data'))
const ALL = 'MINTMARK_ENCRYPTION_KEYS,MINTMARK_PEPPERS,MINTMARK_ROOT_TOKEN\n'

describe('the keys directory of a user who may not use it', () => {
  it('is not made in a folder that is closed to writers', async () => {
    await chmod(folder, 0o555)
    expect(await make()).toContain(`${keys} cannot be created: permission denied for this user (EACCES)`)
  })

  it('is named where it cannot be written to or entered', async () => {
    await mkdir(keys)
    await ordinaryUser(keys)
    await chmod(keys, 0o555)
    expect(await make()).toContain(
      `${join(keys, 'root-token')} cannot be written: permission denied for this user (EACCES)`,
    )
    await chmod(keys, 0o600)
    expect(await make()).toContain(`${keys} cannot be entered: permission denied for this user (EACCES)`)
    await chmod(keys, 0o755)
  })

  it('may be closed to writers once all secrets are there, and each of them is named where it cannot be read', async () => {
    expect(await make()).toBe(ALL)
    await chmod(join(keys, 'peppers'), 0o200)
    expect(await make()).toContain(
      `${join(keys, 'peppers')} cannot be read: permission denied for this user (EACCES)`,
    )
    await chmod(join(keys, 'peppers'), 0o600)
    await chmod(keys, 0o555)
    expect(await make()).toBe(ALL)
    await chmod(keys, 0o755)
  })
})
