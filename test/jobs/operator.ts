import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { childEnvironment } from '../support/child-environment.ts'

const repository = new URL('../../', import.meta.url)

/** What a command printed. */
export interface Printed {
  code: number | null
  stdout: string
  stderr: string
}

interface Situation {
  /** Where files are written. */
  folder: string
  /** Of the command line. */
  program: string
  /** Folders of other programs. */
  path: string
  env: Record<string, string>
}

/**
 * Does what pages say, and nothing else: a command runs only if the page has it, word for word, with what it puts between `<` and
 * `>` filled in.
 */
export class Operator {
  readonly #situation: Situation
  readonly #pages = new Map<string, string>()

  constructor(situation: Situation) {
    this.#situation = situation
  }

  /** The same with other variables. */
  with(env: Record<string, string>): Operator {
    return new Operator({ ...this.#situation, env: { ...this.#situation.env, ...env } })
  }

  /** `values`: what stands for parts of the command. @throws {Error} when the page lacks the command, or when it fails. */
  async run(
    page: string,
    command: string,
    values: Record<string, string> = {},
    codes = [0],
  ): Promise<Printed> {
    if (!this.#textOf(page).includes(command)) throw new Error(`${page} does not say: ${command}`)
    const line = Object.entries(values).reduce((text, [from, to]) => {
      if (!text.includes(from)) throw new Error(`the command has no ${from}: ${command}`)
      return text.replaceAll(from, to)
    }, command)
    const printed = await this.#shell(line)
    if (!codes.includes(printed.code ?? -1))
      throw new Error(`exit code ${printed.code} of "${line}": ${printed.stderr || printed.stdout}`)
    return printed
  }

  /** That the page says this. @throws {Error} */
  reads(page: string, text: string): void {
    if (!this.#textOf(page).includes(text)) throw new Error(`${page} does not say: ${text}`)
  }

  /** A page is wrapped anywhere between two words. */
  #textOf(page: string): string {
    const known = this.#pages.get(page)
    if (known !== undefined) return known
    const text = readFileSync(new URL(page, repository), 'utf8').replaceAll(/\n +/g, '\n')
    this.#pages.set(page, text)
    return text
  }

  #shell(line: string): Promise<Printed> {
    const { folder, program, path, env } = this.#situation
    const script = `mintmark() { "${process.execPath}" "${program}" "$@"; }
npm() { (cd "${repository.pathname}" && command npm "$@"); }
${line}`
    const child = spawn('bash', ['--norc', '-o', 'pipefail', '-c', script], {
      cwd: folder,
      env: childEnvironment({ ...env, PATH: `${path}:${process.env.PATH}` }),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const printed = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const)
      child[name].on('data', chunk => {
        printed[name] += chunk
      })
    return new Promise(resolve => child.once('close', code => resolve({ code, ...printed })))
  }
}
