/** What an import could not take over as it is, or does differently: one entry for each kind, with those that it concerns. */
export interface Note {
  /** Machine-readable: `key_without_team`. */
  code: string
  message: string
  /** What an operator can do about it. */
  cure: string
  count: number
  /** Names of the first ones. */
  examples: string[]
}

const MOST_EXAMPLES = 5

export class Notes {
  readonly #notes = new Map<string, Note>()

  /** `subject` is the name of a key or team, never a secret. */
  add(code: string, subject: string, message: string, cure: string): void {
    const note = this.#notes.get(code) ?? { code, message, cure, count: 0, examples: [] }
    note.count++
    if (note.examples.length < MOST_EXAMPLES) note.examples.push(subject)
    this.#notes.set(code, note)
  }

  get all(): Note[] {
    return [...this.#notes.values()]
  }
}
