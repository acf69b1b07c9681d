import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/**
 * The README is executed. Its `sh` blocks run with a quickstart, its `bash` blocks with Docker, each language in one
 * shell and in order; each `json` or `text` block after one is the expected output, line by line, with `…` for any
 * text.
 */
export interface Block {
  command: string
  expected: string[]
}

export const repository = fileURLToPath(new URL('../..', import.meta.url))

export const readReadme = (): Promise<string> => readFile(`${repository}/README.md`, 'utf8')

export function blocksOf(markdown: string, language: 'sh' | 'bash'): Block[] {
  const blocks: Block[] = []
  const fences = /^```(\w+)\n([\s\S]*?)^```\n(?=(```(?:json|text)\n)?)/gm
  let follows = false
  for (const [, found, body = '', next] of markdown.matchAll(fences)) {
    if (found === language) blocks.push({ command: body, expected: [] })
    else if (follows) blocks.at(-1)?.expected.push(...body.trim().split('\n'))
    follows = next !== undefined && (found === language || follows)
  }
  return blocks
}

/** Runs the commands in one shell, because they share variables. Returns the output of each. */
export async function runAll(
  commands: string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv; preamble?: string },
): Promise<string[]> {
  const mark = '---- end of a block ----'
  const script = (options.preamble ?? '') + commands.join(`echo; echo '${mark}'\n`)
  const shell = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  let errors = ''
  shell.stdout.on('data', chunk => {
    text += chunk
  })
  shell.stderr.on('data', chunk => {
    errors += chunk
  })
  const status = await new Promise(resolve => shell.once('close', resolve))
  if (status !== 0)
    throw new Error(`a command of the README ended with status ${status}:\n${text}\n${errors}`)
  return text.split(mark)
}

/** Lines in this order, with anything between them, `…` for anything within a line. */
export function asPattern(lines: string[]): RegExp {
  const literal = (part: string) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const patterns = lines.map(line => line.trim().split('…').map(literal).join('.*'))
  return new RegExp(patterns.join('[\\s\\S]*'))
}
