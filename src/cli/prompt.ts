import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { streams } from './streams.ts'

/** Whether a person can be asked: the question goes to standard error, so that output can be redirected. */
export const canAsk = (): boolean => Boolean(streams().stdin.isTTY && streams().stderr.isTTY)

/** One line from the terminal; undefined when the person ended it with Ctrl-C or Ctrl-D. */
export function ask(question: string): Promise<string | undefined> {
  return lineFrom(question, streams().stderr)
}

/** As `ask`, without showing what is typed. */
export async function askHidden(question: string): Promise<string | undefined> {
  const { stderr } = streams()
  stderr.write(question)
  // readline echoes to its output, so that is where the line is hidden; the terminal itself is in raw mode.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  try {
    return await lineFrom('', nowhere)
  } finally {
    stderr.write('\n')
  }
}

function lineFrom(question: string, output: NodeJS.WritableStream): Promise<string | undefined> {
  const lines = createInterface({ input: streams().stdin, output, terminal: true, historySize: 0 })
  return new Promise(resolve => {
    lines.once('close', () => resolve(undefined))
    lines.question(question, answer => {
      resolve(answer)
      lines.close()
    })
  })
}
