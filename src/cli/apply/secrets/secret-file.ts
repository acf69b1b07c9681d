import { lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileFault } from '../../../system/file-fault.ts'
import { systemRandom } from '../../../system/random.ts'
import { CliError, EXIT } from '../../exit-codes.ts'
import { type Destination, differsInSet, type Found, type Owner, ownerText } from './destination.ts'

const LONGEST_SECRET_BYTES = 4_096

/**
 * A secret in a file of mode 0600, replaced as a whole: a reader finds the old secret or the new one. `<file>.mintmark`
 * next to it, the note, says whose it is; without it a file is not overwritten, nor is what has its name and is none.
 */
export class SecretFile implements Destination {
  readonly title: string
  readonly #file: string
  readonly #note: string
  readonly #owner: Owner
  /** What `find` read; undefined: there was no such file. */
  #read: { secret: string | undefined; note: string | undefined } | undefined

  constructor(folder: string, file: string, owner: Owner) {
    this.#file = join(folder, file)
    this.#note = `${this.#file}.mintmark`
    this.title = `the file ${this.#file}`
    this.#owner = owner
  }

  async find(): Promise<Found> {
    const { secret, note } = await this.#stored()
    this.#read = { secret, note }
    const owner = ownerIn(note)
    if (note !== undefined && owner === undefined)
      return { state: 'foreign', why: `the file ${this.#note} was not written by "mintmark apply"` }
    if (secret === undefined) return { state: 'absent' }
    if (owner === undefined)
      return { state: 'foreign', why: `${this.title} was not written by "mintmark apply"` }
    if (ownerText(owner) !== ownerText(this.#owner))
      return {
        state: 'foreign',
        why: `${this.title} has the secret of ${ownerText(owner)}`,
        ...(differsInSet(owner, this.#owner) && { ofOtherSet: secret.trim() }),
      }
    return { state: 'ours', secret: secret.trim() }
  }

  async write(secret: string): Promise<void> {
    try {
      await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 })
      const { secret: before, note } = await this.#stored()
      if (before !== this.#read?.secret || note !== this.#read?.note)
        throw new CliError(
          EXIT.conflict,
          `${this.title} was changed by someone else since the plan was made. Run it again.`,
        )
      // First, so that no file of the set is without it.
      await replace(this.#note, noteOf(this.#owner))
      await replace(this.#file, secret)
    } catch (error) {
      if (error instanceof CliError) throw error
      throw new CliError(EXIT.fault, `${this.title} cannot be written: ${reason(error)}.`)
    }
  }

  async #stored() {
    return { secret: await textOf(this.#file), note: await textOf(this.#note) }
  }
}

/** undefined: no file. @throws {CliError} for a link, a folder, or what is too long for a secret or a note. */
async function textOf(file: string): Promise<string | undefined> {
  try {
    const found = await lstat(file)
    if (!found.isFile() || found.size > LONGEST_SECRET_BYTES)
      throw new CliError(EXIT.conflict, `${file} is not a file with a secret. It is not overwritten.`)
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof CliError) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CliError(EXIT.fault, `${file} cannot be read: ${reason(error)}.`)
  }
}

/** `{"set":"production","key":"acme/ci"}` */
const noteOf = ({ set, kind, name }: Owner): string => `${JSON.stringify({ set, [kind]: name })}\n`

function ownerIn(text: string | undefined): Owner | undefined {
  try {
    const { set, ...named } = JSON.parse(text ?? '')
    const kind = (['key', 'usage-reporter'] as const).find(known => typeof named[known] === 'string')
    return typeof set === 'string' && kind ? { set, kind, name: named[kind] } : undefined
  } catch {
    return undefined
  }
}

/** Complete on the disk before it has its name. */
async function replace(file: string, text: string): Promise<void> {
  const temporary = join(dirname(file), `.${basename(file)}.${systemRandom.bytes(6).toString('hex')}`)
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
    await handle.close()
    await rename(temporary, file)
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(temporary, { force: true })
    throw error
  }
  const folder = await open(dirname(file))
  await folder.sync().finally(() => folder.close())
}

const reason = (error: unknown) => fileFault(error) ?? (error as Error).message
