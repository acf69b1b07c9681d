/**
 * Finds `model` in a JSON body as the engine will: with Python's json.loads, of names that are given twice the last
 * counts, others take the first. So whatever could be read in two ways is refused: a name given twice or written with
 * escapes, another encoding, anything that is not one object. What is nested is skipped, not checked: if it is not JSON,
 * the engine refuses it. deploy/generate/lua/model-in-body.lua.template is the same in Lua; deploy/nginx/ carries this
 * very text with scanners of its own, so it keeps to what njs 0.7 understands.
 */

export interface FoundModel {
  /** Undefined when the body names no model, or has a fault. */
  model?: string
  fault?: string
}

const QUOTE = 34
const COMMA = 44
const COLON = 58
const LIST = 91
const BACKSLASH = 92
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

/**
 * Top-level names by which a client would steer the engine, so a body with one of them is rejected: the hosts of vLLM's
 * prefill and encoder stages, vllm_xargs, which can carry the same, ids of stored responses, which vLLM gives to every tenant, and
 * SGLang's stages, rank and path to an adapter.
 */
export const STEERING_FIELDS = [
  'kv_transfer_params',
  'ec_transfer_params',
  'vllm_xargs',
  'previous_response_id',
  'request_id',
  'lora_path',
  'bootstrap_host',
  'bootstrap_port',
  'bootstrap_room',
  'data_parallel_rank',
]
/**
 * Rejected too where the body cannot be changed: only a gateway that puts the tenant before a client's salt keeps the caches of
 * tenants apart.
 */
const REFUSED_WITHOUT_REWRITE = STEERING_FIELDS.concat('cache_salt')
const LONGEST_FIELD = 20

/** `takesPriority`: whether a top-level `priority` is allowed. */
export function readModel(body: Uint8Array, takesPriority: boolean): FoundModel {
  let model: string | undefined
  let names = 0
  const budget = { marks: MOST_MARKS }
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
    const end = valueEnd(body, i, budget)
    if (end < 0) return { fault: NOT_JSON }
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

/** The first position at or after `i` that is not JSON white space. */
function skipSpace(body: Uint8Array, i: number): number {
  let at = i
  while (body[at] === 32 || body[at] === 9 || body[at] === 10 || body[at] === 13) at++
  return at
}

/** `i` is at an opening quote. Returns the position of the closing one, or -1. */
function stringEnd(body: Uint8Array, i: number): number {
  for (let at = i + 1; at < body.length; at++) {
    if (body[at] === QUOTE) return at
    if (body[at] === BACKSLASH) at++
  }
  return -1
}

/** `i` is at an opening bracket. Returns the position of the matching closing one, or -1. */
function nestedEnd(body: Uint8Array, i: number, budget: { marks: number }): number {
  let depth = 0
  for (let at = i; at < body.length; at++) {
    const c = body[at]
    const begins = c === OBJECT || c === LIST
    if (!begins && c !== QUOTE && c !== OBJECT_END && c !== LIST_END) continue
    if (budget.marks-- <= 0) return -1
    if (begins) depth++
    else if (c === QUOTE) {
      at = stringEnd(body, at)
      if (at < 0) return -1
    } else if (--depth === 0) return at
  }
  return -1
}

function valueEnd(body: Uint8Array, i: number, budget: { marks: number }): number {
  if (body[i] === QUOTE) return stringEnd(body, i)
  if (body[i] === OBJECT || body[i] === LIST) return nestedEnd(body, i, budget)
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
