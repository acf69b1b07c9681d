/**
 * Finds `model` in a JSON body as the engine will: with Python's json.loads, of names that are given twice the last
 * counts, others take the first. So whatever could be read in two ways is refused: a name given twice or written with
 * escapes, another encoding, anything that is not one object. Of what is nested only the names of media are read: if it is
 * not JSON, the engine refuses it. deploy/generate/lua/model-in-body.lua.template is the same in Lua; deploy/nginx/ carries this
 * very text and that of refused-fields.ts with scanners of its own, so they keep to what njs 0.7 understands.
 */

import type { BodyTurns } from '../http/body-turns.ts'
import { BACKSLASH, mediaName } from './media-name.ts'
import {
  EMBEDDED_INPUTS,
  FETCHED_FIELDS,
  LONGEST_FIELD,
  REFUSED_WITHOUT_REWRITE,
  UNREAD_FIELDS,
} from './refused-fields.ts'

export interface FoundModel {
  /** Undefined when the body names no model, or has a fault. */
  model?: string
  fault?: string
}

const QUOTE = 34
const COMMA = 44
const COLON = 58
const LIST = 91
const LIST_END = 93
const OBJECT = 123
const OBJECT_END = 125

const NOT_JSON = 'Invalid body. Send a JSON object in UTF-8.'
/** Top-level names of one body. Requests of any engine have a few dozen. */
const MOST_NAMES = 1_000
/** Bytes of `model` as it is written. Names of models have at most 96 characters (headers.ts), each at most twice as long. */
const LONGEST_MODEL = 192
/** Bytes of a top-level number, true, false or null. */
const LONGEST_LITERAL = 1_024
/** Strings and brackets in the nested values of one body. More counts as not JSON. */
const MOST_MARKS = 262_144

/** Open brackets in an object of the list `input`, and in a part of a message in the list `messages`. */
const INPUT_DEPTH = 2
const TOOL_DEPTH = 4
/** A depth that no body has: each opening bracket is a mark. */
const ALL = MOST_MARKS + 1
/** What is known of a nested object. */
const HAS_MEDIA = 1
const HAS_UUID = 2
const IS_MEDIA = 4

interface Scan {
  /** Strings and brackets that may still come. */
  marks: number
  /** Whether the names in the present value are read. */
  reads?: boolean
  /** Whether the present value is a list of media, as `images` is. */
  lists?: boolean
  /** Whether the present value is that of `messages`. */
  talks?: boolean
  /** Whether the present value is that of `input`, whose objects SGLang embeds. */
  embeds?: boolean
  /** Names are read down to this depth, until a value at it has ended. */
  unreadBelow: number
  /** Whether the next object is the value of a name in FETCHED_FIELDS. */
  beginsMedia?: boolean
  /** What is known of the open objects, by their depth. */
  known: number[]
  fault: string
}

/** `takesPriority`: whether a top-level `priority` is allowed. */
export async function readModel(
  body: Uint8Array,
  takesPriority: boolean,
  turns: BodyTurns,
): Promise<FoundModel> {
  let model: string | undefined
  let names = 0
  const scan: Scan = { marks: MOST_MARKS, unreadBelow: ALL, known: [], fault: '' }
  let i = skipSpace(body, 0)
  if (body[i] !== OBJECT) return { fault: NOT_JSON }
  i = skipSpace(body, i + 1)
  while (body[i] !== OBJECT_END) {
    const nameEnd = body[i] === QUOTE ? stringEnd(body, i) : -1
    if (nameEnd < 0) return { fault: NOT_JSON }
    if (++names > MOST_NAMES) return { fault: `The body has more than ${MOST_NAMES} names.` }
    const written = body.subarray(i + 1, nameEnd)
    if (written.indexOf(BACKSLASH) >= 0)
      return { fault: 'Escaped names in the body. Write them without escapes.' }
    // A longer one is none of those that matter here.
    const name = written.length <= LONGEST_FIELD ? textOf(written) : ''
    i = skipSpace(body, nameEnd + 1)
    if (body[i] !== COLON) return { fault: NOT_JSON }
    i = skipSpace(body, i + 1)
    scan.reads = !UNREAD_FIELDS.includes(name)
    scan.lists = name === 'images'
    scan.talks = name === 'messages'
    scan.embeds = name === 'input'
    scan.unreadBelow = ALL
    const end = await valueEnd(body, i, scan, turns)
    if (end < 0) return { fault: NOT_JSON }
    if (scan.fault) return { fault: scan.fault }
    if (name === 'model') {
      if (model !== undefined) return { fault: 'Duplicate `model` in the body. Send it once.' }
      if (body[i] !== QUOTE) return { fault: '`model` is not a string. Send the name of a model.' }
      if (end - i - 1 > LONGEST_MODEL) return { fault: `\`model\` is longer than ${LONGEST_MODEL} bytes.` }
      // Some encoders write / as \/. Any other escape has no place in a model's name.
      model = textOf(body.subarray(i + 1, end)).replace(/\\\//g, '/')
    } else if (name === 'priority' && !takesPriority)
      return { fault: '`priority` is not supported on this route. Remove it.' }
    else if (REFUSED_WITHOUT_REWRITE.includes(name))
      return { fault: `\`${name}\` is not supported here. Remove it.` }
    i = skipSpace(body, end + 1)
    if (body[i] === COMMA) {
      i = skipSpace(body, i + 1)
      if (body[i] !== QUOTE) return { fault: NOT_JSON }
    } else if (body[i] !== OBJECT_END) return { fault: NOT_JSON }
  }
  if (skipSpace(body, i + 1) < body.length) return { fault: NOT_JSON }
  return model === undefined ? {} : { model: model }
}

/** `application/json`, in UTF-8 where it says so. Some clients write `utf8`, or a semicolon and nothing after it. */
export function isPlainJson(contentType: string): boolean {
  return /^application\/json\s*(;\s*(charset="?utf-?8"?\s*)?)*$/i.test(contentType)
}

/** The first position at or after `i` that is not JSON white space, or one after too much of it. */
function skipSpace(body: Uint8Array, i: number): number {
  const most = 65_536
  let at = i
  while (at - i <= most && (body[at] === 32 || body[at] === 9 || body[at] === 10 || body[at] === 13)) at++
  return at
}

/** `i` is at an opening quote. Returns the position of the closing one, or -1. */
function stringEnd(body: Uint8Array, i: number): number {
  /** Bytes that are read one by one. After these, as in an image, native code finds the next quote. */
  const most = 64
  for (let at = i + 1; at < body.length; at++) {
    const near = Math.min(at + most, body.length)
    for (; at < near; at++) {
      if (body[at] === QUOTE) return at
      if (body[at] === BACKSLASH) at++
    }
    const quote = body.indexOf(QUOTE, at)
    let escapes = quote
    while (escapes > at && body[escapes - 1] === BACKSLASH) escapes--
    if ((quote - escapes) % 2 === 0) return quote
    at = quote
  }
  return -1
}

/** `i` is at an opening bracket. Returns the position of the matching closing one, or -1. */
async function nestedEnd(body: Uint8Array, i: number, scan: Scan, turns: BodyTurns): Promise<number> {
  /** A string or bracket takes as long as so many bytes. */
  const markBytes = 16
  let depth = 0
  for (let at = i; at < body.length; at++) {
    if (at >= turns.end) await turns.next(at)
    const c = body[at]
    const begins = c === OBJECT || c === LIST
    if (!begins && c !== QUOTE && c !== OBJECT_END && c !== LIST_END) continue
    if (scan.marks-- <= 0) return -1
    turns.end -= markBytes
    if (begins) beginNested(++depth, scan)
    else if (c === QUOTE) {
      const end = stringEnd(body, at)
      if (end < 0) return -1
      readNested(body, at, end, depth, scan)
      at = end
    } else if (--depth === 0) return at
  }
  return -1
}

/** An object or a list begins, as the `depth`th of those that are open. */
function beginNested(depth: number, scan: Scan): void {
  if (depth <= scan.unreadBelow) scan.unreadBelow = ALL
  scan.known[depth] = scan.beginsMedia ? IS_MEDIA : 0
  scan.beginsMedia = false
}

/** A string from the quote at `at` to the one at `end`: a name of media, or media in a list. */
function readNested(body: Uint8Array, at: number, end: number, depth: number, scan: Scan): void {
  if (!scan.reads || depth > scan.unreadBelow) return
  scan.unreadBelow = ALL
  if (scan.lists && depth === 1 && !isData(body, at)) scan.fault = addressIn('images')
  // A value in a list or of a name.
  const next = body[end + 1]
  if (next === COMMA || next === LIST_END || next === OBJECT_END) return
  const name = mediaName(body, at + 1, end)
  if (name === '') return
  let i = skipSpace(body, end + 1)
  // More white space than is looked at.
  if (skipSpace(body, i) > i) scan.fault = NOT_JSON
  if (body[i] !== COLON) return
  i = skipSpace(body, i + 1)
  if (skipSpace(body, i) > i) scan.fault = NOT_JSON
  const known = scan.known[depth] || 0
  const fetched = FETCHED_FIELDS.includes(name)
  scan.beginsMedia = fetched && body[i] === OBJECT
  if (name === 'input' && scan.talks && depth === TOOL_DEPTH) scan.unreadBelow = depth
  const embedded = EMBEDDED_INPUTS.includes(name)
  if (name === 'input' || (embedded && (!scan.embeds || depth > INPUT_DEPTH))) return
  const addresses = name === 'url' ? (known & IS_MEDIA) > 0 : embedded || (fetched && name !== 'source')
  if (addresses && body[i] === QUOTE && !isData(body, i)) scan.fault = addressIn(name)
  if (embedded || name === 'url' || name === 'source') return
  const now = known | (name === 'uuid' ? HAS_UUID : HAS_MEDIA)
  if ((now & HAS_UUID) > 0 && (now & HAS_MEDIA) > 0)
    scan.fault = '`uuid` of media is not supported here. Remove it.'
  scan.known[depth] = now
}

function addressIn(name: string): string {
  return `\`${name}\` is an address. Send the media itself, as a data: URI.`
}

/** `i` is at an opening quote. */
function isData(body: Uint8Array, i: number): boolean {
  return textOf(body.subarray(i + 1, i + 6)).toLowerCase() === 'data:'
}

/** Where the value that begins at `i` ends, or -1. */
async function valueEnd(body: Uint8Array, i: number, scan: Scan, turns: BodyTurns): Promise<number> {
  if (body[i] === QUOTE) return stringEnd(body, i)
  if (body[i] === OBJECT || body[i] === LIST) return nestedEnd(body, i, scan, turns)
  let at = i
  while (at - i <= LONGEST_LITERAL && isLiteral(body[at])) at++
  return at > i && at - i <= LONGEST_LITERAL ? at - 1 : -1
}

/** Letters, digits, sign and point: true, null, -1.5e+3, and NaN, which Python accepts. */
function isLiteral(c: number | undefined): boolean {
  if (c === undefined) return false
  return (
    (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 43 || c === 45 || c === 46
  )
}

/** One character for each byte: a name that is not ASCII matches no model, whatever it becomes. */
function textOf(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at++) text += String.fromCharCode(bytes[at] as number)
  return text
}
