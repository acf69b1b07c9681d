/** Finds names of media in a body. deploy/nginx/ carries this text, as it does that of model-in-body.ts. */

import { LONGEST_MEDIA_NAME, MEDIA_NAMES } from './refused-fields.ts'

export const BACKSLASH = 92
const ZERO = 48
const LETTER_U = 117
const NOT_A_DIGIT = -1_000

/** The string between the quotes if it is in MEDIA_NAMES, else ''. Python reads a name with escapes as one without. */
export function mediaName(body: Uint8Array, first: number, end: number): string {
  // A character is at most six bytes.
  if (end - first > 6 * LONGEST_MEDIA_NAME) return ''
  const initial = characterAt(body, first)
  // Without building a text: a body may have a hundred thousand names.
  for (let k = 0; k < MEDIA_NAMES.length; k++) {
    const name = MEDIA_NAMES[k] || ''
    if (name.charCodeAt(0) === initial && isWritten(body, first, end, name)) return name
  }
  return ''
}

/** Whether the string from `first` to the quote at `end` is this name, with or without escapes. */
function isWritten(body: Uint8Array, first: number, end: number, name: string): boolean {
  let at = first
  for (let k = 0; k < name.length; k++) {
    if (characterAt(body, at) !== name.charCodeAt(k)) return false
    at += body[at] === BACKSLASH ? 6 : 1
  }
  return at === end
}

/** The character at `at`, also where it is written as `\u00` and two digits. -1: another escape. */
function characterAt(body: Uint8Array, at: number): number {
  const c = body[at]
  if (c !== BACKSLASH) return c === undefined ? -1 : c
  if (body[at + 1] !== LETTER_U || body[at + 2] !== ZERO || body[at + 3] !== ZERO) return -1
  return 16 * digitOf(body[at + 4]) + digitOf(body[at + 5])
}

/** Of a hexadecimal digit. Anything else is so low that no letter has it. */
function digitOf(c: number | undefined): number {
  if (c === undefined) return NOT_A_DIGIT
  if (c >= 48 && c <= 57) return c - 48
  if (c >= 65 && c <= 70) return c - 55
  return c >= 97 && c <= 102 ? c - 87 : NOT_A_DIGIT
}
