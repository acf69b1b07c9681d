import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isAbsent } from '../gateway-configs/program.ts'
import { childEnvironment } from '../support/child-environment.ts'
import { MAIN } from './mintmark.ts'

const BASH_COMPLETION = '/usr/share/bash-completion/bash_completion'

/** Programs with which completion is seen in real shells. */
export const lacksShells = (): boolean =>
  ['tmux', 'bash', 'zsh', 'fish'].some(isAbsent) || !existsSync(BASH_COMPLETION)

const SHELLS = {
  bash: {
    start: 'bash --norc --noprofile',
    load: [`PS1='$ '; source ${BASH_COMPLETION}; source <(mintmark completion bash)`],
  },
  zsh: {
    start: 'zsh -f',
    load: ["PS1='$ '; autoload -U compinit; compinit -D; source <(mintmark completion zsh)"],
  },
  fish: {
    start: 'fish --no-config',
    load: ["function fish_prompt; echo '$ '; end; mintmark completion fish | source"],
  },
} as const
export type ShellName = keyof typeof SHELLS

/** A shell on a screen of 110 columns, with the command `mintmark` and its completion loaded. */
export class Screen {
  readonly #socket = `mintmark-${randomUUID()}`

  readonly #env: Record<string, string>

  private constructor(env: Record<string, string>) {
    this.#env = env
  }

  static async open(shell: ShellName, env: Record<string, string>): Promise<Screen> {
    const home = mkdtempSync(join(tmpdir(), 'mintmark-shell-'))
    const command = join(home, 'mintmark')
    writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`)
    chmodSync(command, 0o755)
    const { PATH = '', ...others } = childEnvironment(env)
    const all: Record<string, string> = {
      ...others,
      PATH: `${home}:${PATH}`,
      HOME: home,
      TERM: 'screen',
      LC_ALL: 'C.UTF-8',
    }
    // tmux takes the PATH from the process that starts it, and nothing else.
    const screen = new Screen(all)
    screen.#tmux(
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      '-x',
      '110',
      '-y',
      '40',
      ...variables(all),
      SHELLS[shell].start,
    )
    for (const line of SHELLS[shell].load) screen.type(line, 'Enter')
    screen.type('echo loa""ded', 'Enter')
    await screen.until(/^loaded$/m)
    screen.type('C-l')
    return screen
  }

  /** Text, or names of keys: `Tab`, `Enter`, `C-u`. */
  type(...keys: string[]): void {
    this.#tmux('send-keys', '--', ...keys)
  }

  /** What the screen shows once it matches. @throws after half a minute */
  async until(pattern: RegExp): Promise<string> {
    let shown = ''
    for (let tries = 0; tries < 150; tries++) {
      shown = this.#tmux('capture-pane', '-p').replaceAll(/ +$/gm, '')
      if (pattern.test(shown)) return shown
      await sleep(200)
    }
    throw new Error(`the screen never showed ${pattern}:\n${shown.trim()}`)
  }

  close(): void {
    this.#tmux('kill-server')
  }

  #tmux(...args: string[]): string {
    return spawnSync('tmux', ['-L', this.#socket, ...args], { encoding: 'utf8', env: this.#env }).stdout
  }
}

const variables = (env: Record<string, string>) =>
  Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`])
