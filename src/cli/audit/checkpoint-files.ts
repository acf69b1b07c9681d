import {
  type Checkpoint,
  CheckpointSigner,
  type Continuation,
  openStatement,
} from '../../audit/audit-checkpoint.ts'
import { Env } from '../../config/env.ts'
import { namedKeys } from '../../config/formats.ts'
import type { Database } from '../../database/database.ts'
import { readInstallation } from '../../installation/installation.ts'
import { oneByOne } from '../../system/one-by-one.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { textOf } from '../text-file.ts'

export type SignedCheckpoint = Checkpoint & { thumbprint: string }

/** The signed lines of files. @throws {CliError} for one with an invalid signature, or with a key that is not trusted. */
export async function readStatements(
  files: readonly string[],
  trusted: ReadonlySet<string>,
): Promise<{ checkpoints: SignedCheckpoint[]; continuations: Continuation[] }> {
  const lines = (await oneByOne(files, readCheckpointFile)).flat()
  const statements = await oneByOne(lines, line => opened(line, trusted))
  return {
    checkpoints: statements.flatMap(({ kind, content, thumbprint }) =>
      kind === 'checkpoint' ? [{ ...content, thumbprint }] : [],
    ),
    continuations: statements.flatMap(({ kind, content }) => (kind === 'continuation' ? [content] : [])),
  }
}

/** @throws {CliError} as `readStatements` */
export async function openedCheckpoints(
  lines: readonly string[],
  trusted: ReadonlySet<string>,
): Promise<SignedCheckpoint[]> {
  const statements = await oneByOne(lines, line => opened(line, trusted))
  return statements.flatMap(({ kind, content, thumbprint }) =>
    kind === 'checkpoint' ? [{ ...content, thumbprint }] : [],
  )
}

/** @throws {CliError} */
export async function refuseForeign(
  database: Database,
  checkpoints: readonly Pick<Checkpoint, 'installation' | 'issuer'>[],
): Promise<void> {
  const { id } = await database.run(readInstallation)
  const foreign = checkpoints.find(({ installation }) => installation !== id)
  if (!foreign) return
  const message = `a checkpoint belongs to another installation (${foreign.issuer}) than the database.`
  throw new CliError(EXIT.usage, message)
}

/** RFC 7638 thumbprints. Empty: any key is trusted. */
export async function trustedKeys(
  environment: NodeJS.ProcessEnv,
  named: readonly string[],
): Promise<Set<string>> {
  const env = new Env(environment)
  const description = 'as of the service'
  const keys = env.optional('MINTMARK_ENCRYPTION_KEYS', { description, parse: namedKeys }) ?? []
  env.throwFaults()
  const own = await Promise.all(keys.map(key => new CheckpointSigner(key).thumbprint()))
  return new Set([...own, ...named])
}

async function opened(jws: string, trusted: ReadonlySet<string>) {
  const statement = await openStatement(jws).catch(error => {
    throw new CliError(EXIT.refused, `a checkpoint does not verify: ${(error as Error).message}.`)
  })
  const { kind, content, thumbprint } = statement
  if (trusted.size === 0 || trusted.has(thumbprint)) return statement
  const what = kind === 'checkpoint' ? `the checkpoint of row ${content.id}` : 'a continuation'
  throw new CliError(EXIT.refused, `${what} is signed with the key ${thumbprint}, which is not trusted.`)
}

const LONGEST_FILE_BYTES = 16_777_216

/** One JWS per line. @throws {CliError} */
async function readCheckpointFile(file: string): Promise<string[]> {
  const text = await textOf(file, LONGEST_FILE_BYTES)
  return text.split(/\s+/).filter(line => line !== '')
}
