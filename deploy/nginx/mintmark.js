// Generated from deploy/generate/ by npm run generate: do not edit. docs/guides/nginx.md explains it.
// Contract number: 1.
// For njs 0.7.9 and later. nginx.conf in the same folder calls it.

const ISSUER = 'https://tokens.example.com'
const AUDIENCE = 'vllm'
const SCOPE = 'inference'
// One PEM file for each published key, named after its kid and downloaded by fetch-keys.sh.
const KEYS = '/etc/nginx/mintmark/keys'
const LONGEST_TOKEN = 6144
// From its first byte until its whole body has arrived. nginx bounds the time between two pieces of a body only.
const LONGEST_REQUEST_SECONDS = 30
// Headers of one request. vLLM takes 256.
const MOST_HEADERS = 100

// path = the engine takes the priority from the header. On other routes a `priority` in the body is rejected.
const ROUTES = {
  '/v1/chat/completions': true,
  '/v1/completions': true,
  '/v1/responses': true,
  '/v1/embeddings': false,
  '/v1/messages': true,
  '/v1/messages/count_tokens': true,
}

const ALGORITHMS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256', saltLength: 32 },
}

/** Names in a JSON body that model-in-body.ts refuses, or looks for in what is nested. */

/**
 * Top-level names by which a client would steer the engine, so a body with one of them is rejected.
 * vLLM: the hosts of its prefill and encoder stages, vllm_xargs, which can carry the same, and ids of stored responses, which it gives to
 * every tenant. With background an engine answers at once, without a count of tokens, and generates on after the client has left.
 * Dynamo: nvext chooses instances and priorities.
 * SGLang: stages, ranks, the path to an adapter, ids of requests and sessions, which all tenants share, and extra_key, which it appends
 * to cache_salt without a mark between them, so that together they could be the salt of another tenant.
 */
const STEERING_FIELDS = [
  'kv_transfer_params',
  'ec_transfer_params',
  'vllm_xargs',
  'previous_response_id',
  'background',
  'nvext',
  'request_id',
  'lora_path',
  'bootstrap_host',
  'bootstrap_port',
  'bootstrap_room',
  'bootstrap_pair_key',
  'data_parallel_rank',
  'data_parallel_rank_decode',
  'rid',
  'session_params',
  'extra_key',
]
/**
 * Rejected too where the body cannot be changed: only a gateway that puts the tenant before a client's salt keeps the caches of
 * tenants apart.
 */
const REFUSED_WITHOUT_REWRITE = STEERING_FIELDS.concat('cache_salt')
const LONGEST_FIELD = 25

/**
 * Nested names whose value is media, or an object with a `url`. The engine would fetch the address for any client, from inside
 * the operator's network, so the media has to be in the body, as a data: URI.
 */
const FETCHED_FIELDS = ['image_url', 'audio_url', 'video_url', 'source']
/** Nested names of media for which a `uuid` is refused, because by it vLLM takes what an earlier request of any tenant stored under it. */
const UUID_FIELDS = [
  'image_url',
  'audio_url',
  'video_url',
  'input_audio',
  'image_embeds',
  'audio_embeds',
  'video_embeds',
  'image_pil',
]
/** Media in the objects of the list `input`: SGLang embeds it. Elsewhere they may have any value. */
const EMBEDDED_INPUTS = ['image', 'video']
/**
 * Each of those above once: FETCHED_FIELDS but `source` are in UUID_FIELDS. `input` in a part of a message has the arguments of a tool, which may have any names; engines make
 * text of it.
 */
const MEDIA_NAMES = UUID_FIELDS.concat(EMBEDDED_INPUTS, 'source', 'url', 'uuid', 'input')
const LONGEST_MEDIA_NAME = 12
/** Top-level names whose nested values no engine fetches: schemas of tools and answers, and what clients note for themselves. */
const UNREAD_FIELDS = ['tools', 'metadata', 'response_format']

/** Finds names of media in a body. deploy/nginx/ carries this text, as it does that of model-in-body.ts. */

const BACKSLASH = 92
const ZERO = 48
const LETTER_U = 117
const NOT_A_DIGIT = -1_000

/** The string between the quotes if it is in MEDIA_NAMES, else ''. Python reads a name with escapes as one without. */
function mediaName(body, first, end) {
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
function isWritten(body, first, end, name) {
  let at = first
  for (let k = 0; k < name.length; k++) {
    if (characterAt(body, at) !== name.charCodeAt(k)) return false
    at += body[at] === BACKSLASH ? 6 : 1
  }
  return at === end
}

/** The character at `at`, also where it is written as `\u00` and two digits. -1: another escape. */
function characterAt(body, at) {
  const c = body[at]
  if (c !== BACKSLASH) return c === undefined ? -1 : c
  if (body[at + 1] !== LETTER_U || body[at + 2] !== ZERO || body[at + 3] !== ZERO) return -1
  return 16 * digitOf(body[at + 4]) + digitOf(body[at + 5])
}

/** Of a hexadecimal digit. Anything else is so low that no letter has it. */
function digitOf(c) {
  if (c === undefined) return NOT_A_DIGIT
  if (c >= 48 && c <= 57) return c - 48
  if (c >= 65 && c <= 70) return c - 55
  return c >= 97 && c <= 102 ? c - 87 : NOT_A_DIGIT
}

/**
 * Finds `model` in a JSON body as the engine will: with Python's json.loads, of names that are given twice the last
 * counts, others take the first. So whatever could be read in two ways is refused: a name given twice or written with
 * escapes, another encoding, anything that is not one object. Of what is nested only the names of media are read: if it is
 * not JSON, the engine refuses it. deploy/generate/lua/model-in-body.lua.template is the same in Lua; deploy/nginx/ carries this
 * very text and that of refused-fields.ts with scanners of its own, so they keep to what njs 0.7 understands.
 */

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

/** `takesPriority`: whether a top-level `priority` is allowed. */
async function readModel(
  body,
  takesPriority,
  turns
) {
  let model
  let names = 0
  const scan = { marks: MOST_MARKS, unreadBelow: ALL, known: [], fault: '' }
  let i = skipSpace(body, 0)
  if (body[i] !== OBJECT) return { fault: NOT_JSON }
  i = skipSpace(body, i + 1)
  while (body[i] !== OBJECT_END) {
    const nameEnd = body[i] === QUOTE ? await wholeString(body, i) : -1
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
function isPlainJson(contentType) {
  return /^application\/json\s*(;\s*(charset="?utf-?8"?\s*)?)*$/i.test(contentType)
}

/** An object or a list begins, as the `depth`th of those that are open. */
function beginNested(depth, scan) {
  if (depth <= scan.unreadBelow) scan.unreadBelow = ALL
  scan.known[depth] = scan.beginsMedia ? IS_MEDIA : 0
  scan.beginsMedia = false
}

/** A string from the quote at `at` to the one at `end`: a name of media, or media in a list. */
function readNested(body, at, end, depth, scan) {
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

function addressIn(name) {
  return `\`${name}\` is an address. Send the media itself, as a data: URI.`
}

/** `i` is at an opening quote. */
function isData(body, i) {
  return textOf(body.subarray(i + 1, i + 6)).toLowerCase() === 'data:'
}

/** Letters, digits, sign and point: true, null, -1.5e+3, and NaN, which Python accepts. */
function isLiteral(c) {
  if (c === undefined) return false
  return (
    (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 43 || c === 45 || c === 46
)
}

/** One character for each byte: a name that is not ASCII matches no model, whatever it becomes. */
function textOf(bytes) {
  let text = ''
  for (let at = 0; at < bytes.length; at++) text += String.fromCharCode(bytes[at])
  return text
}

// A loop over bytes takes njs a second for some hundred kilobytes, so these look for the next mark with indexOf, which is
// native. What they look at one by one is counted over the whole body, so that no form of a body takes longer than another. The
// worker handles its other requests between two turns: a body may take a second in all.
// The variables below are those of one request, because njs gives each request a virtual machine of its own.

/** Milliseconds of a turn. */
const TURN_MS = 3
/** How many marks are looked at between two looks at the clock. */
const MARKS_BETWEEN = 64
/** stringEnd: the turn is over, and it goes on where it stopped when it is called again. */
const PAUSED = -2

/** Bytes of white space between two top-level tokens. More counts as not JSON. */
const MOST_SPACE = 128
/** Escaped quotes, and runs of backslashes before a quote, in one body. A million take njs about a second. */
const MOST_QUOTES = 1048576
/** Backslashes that are compared one by one. */
const FEW = 8
/** Backslashes that are compared at once, the most first. */
const RUNS = [1024, 64, FEW].map(length => Buffer.alloc(length, BACKSLASH))

/** Strings and brackets that may still be looked at in this body. */
let left
/** Escaped quotes that may still be looked at in this body. */
let quotesLeft
/** When this turn began, in epoch milliseconds. */
let turn
/** Marks that were looked at. */
let looked
/** Where a string that was not looked at to its end goes on; -1: there is none. */
let rest
/** Where each mark comes next, found again only once it has been passed: each byte is looked at once for each mark. */
let quote
let object
let objectEnd
let list
let listEnd

/** Before each body. */
function beginScan() {
  left = MOST_MARKS
  quotesLeft = MOST_QUOTES
  turn = Date.now()
  rest = -1
  looked = 0
  quote = object = objectEnd = list = listEnd = -1
}

function isOver() {
  return Date.now() - turn >= TURN_MS
}

/** Ends the turn. With 0 ms nginx would begin the next one before it looks at its connections. */
function pause() {
  return new Promise(resolve => {
    setTimeout(() => {
      turn = Date.now()
      resolve()
    }, 1)
  })
}

/** The first place at or after `i` that is not JSON white space. */
function skipSpace(body, i) {
  let at = i
  while (at - i <= MOST_SPACE && (body[at] === 32 || body[at] === 9 || body[at] === 10 || body[at] === 13))
    at++
  return at
}

/** `i` is at an opening quote: where the closing one is, or -1; or PAUSED. */
function stringEnd(body, i) {
  let at = rest < 0 ? body.indexOf(QUOTE, i + 1) : rest
  rest = -1
  while (at >= 0) {
    if (body[at - 1] !== BACKSLASH) return at
    if (++looked % MARKS_BETWEEN === 0 && isOver()) {
      rest = at
      return PAUSED
    }
    const escaped = backslashesBefore(body, at) % 2 === 1
    // A count that was broken off says nothing.
    if (quotesLeft-- <= 0) return -1
    if (!escaped) return at
    at = body.indexOf(QUOTE, at + 1)
  }
  return -1
}

/** `i` is at an opening quote: where the closing one is, or -1. */
async function wholeString(body, i) {
  let end = stringEnd(body, i)
  while (end === PAUSED) {
    await pause()
    end = stringEnd(body, i)
  }
  return end
}

/** Where the value that begins at `i` ends, or -1. */
async function valueEnd(body, i, scan) {
  if (isOver()) await pause()
  if (body[i] === QUOTE) return wholeString(body, i)
  if (body[i] === OBJECT || body[i] === LIST) return nestedEnd(body, i, scan)
  let at = i
  while (at - i <= LONGEST_LITERAL && isLiteral(body[at])) at++
  return at > i && at - i <= LONGEST_LITERAL ? at - 1 : -1
}

/** How many stand directly before `at`. The quote that opens the string ends them. */
function backslashesBefore(body, at) {
  let first = at
  while (body[first - 1] === BACKSLASH && at - first < FEW) first--
  if (at - first < FEW) return at - first
  quotesLeft -= FEW
  for (let k = 0; k < RUNS.length; k++) {
    const length = RUNS[k].length
    while (first >= length && quotesLeft > 0 && RUNS[k].equals(body.subarray(first - length, first))) {
      first -= length
      quotesLeft--
    }
  }
  while (quotesLeft > 0 && body[first - 1] === BACKSLASH) first--
  return at - first
}

/** `i` is at an opening bracket: where the one is that closes it, or -1. */
async function nestedEnd(body, i, scan) {
  let depth = 0
  let at = i
  while (left-- > 0) {
    if (++looked % MARKS_BETWEEN === 0 && isOver()) await pause()
    if (quote < at) quote = next(body, QUOTE, at)
    if (object < at) object = next(body, OBJECT, at)
    if (objectEnd < at) objectEnd = next(body, OBJECT_END, at)
    if (list < at) list = next(body, LIST, at)
    if (listEnd < at) listEnd = next(body, LIST_END, at)
    const begins = object < list ? object : list
    const ends = objectEnd < listEnd ? objectEnd : listEnd
    if (quote < begins && quote < ends) {
      let end = stringEnd(body, quote)
      while (end === PAUSED) {
        await pause()
        end = stringEnd(body, quote)
      }
      if (end < 0) return -1
      readNested(body, quote, end, depth, scan)
      at = end + 1
    } else if (begins < ends) {
      depth++
      beginNested(depth, scan)
      at = begins + 1
    } else if (ends === body.length) {
      return -1
    } else {
      depth--
      if (depth === 0) return ends
      at = ends + 1
    }
  }
  return -1
}

function next(body, mark, at) {
  const found = body.indexOf(mark, at)
  return found < 0 ? body.length : found
}

// Before anything else, from the headers alone: what is wrong with the credential, or '' if it may be good.
function refusal(r) {
  const kind = r.variables.mm_kind
  if (kind === 'excess') return errorBody('invalid_request_error', 'too_many_headers', 'More than ' + MOST_HEADERS + ' headers.')
  if (kind === 'missing') return errorBody('authentication_error', 'missing_credential', 'Missing credential. Send your API key or a token as "Authorization: Bearer <key>".')
  if (kind === 'ambiguous') return errorBody('authentication_error', 'ambiguous_credential', 'More than one credential. Send one API key or token, once, in one header.')
  if (kind === 'invalid') return errorBody('authentication_error', 'invalid_api_key', 'Invalid API key. Check that it is complete and neither expired nor revoked, or request a new one.')
  return ''
}

// For the log, why this gateway refused the request; '' if it did not, or if Mintmark answered it, whose log says why.
function reason(r) {
  const variables = r.variables
  const status = variables.status
  const byForm = { missing: 'missing_credential', ambiguous: 'ambiguous_credential', invalid: 'malformed' }[variables.mm_kind]
  if (status === '401') return byForm || variables.mm_denied || (variables.uri === '/_models' ? 'token_invalid' : '')
  if (status === '429') return 'too_many_requests'
  // The engine has the request: only that it did not answer is ours.
  if (variables.mm_model) return status === '503' ? 'engine_unavailable' : ''
  if (status === '403') return variables.mm_denied || (variables.uri === '/_models' ? 'token_scope' : 'model_not_allowed')
  if (status === '400' || status === '415') return 'invalid_body'
  return status === '503' ? variables.mm_denied || 'check_unreachable' : ''
}

// For the cache of Mintmark's answers, so that no key is in its files.
function cacheKey(r) {
  return require('crypto').createHash('sha256').update(JSON.stringify(credentialsOf(r))).digest('hex')
}

const credentialsOf = r =>
  r.rawHeadersIn.filter(header => CREDENTIAL_HEADERS.indexOf(header[0].toLowerCase().replace(/_/g, '-')) >= 0)

// Exactly one credential, in each header once: a string with the format and the checksum of an API key, or with the format of a
// token.
function kind(r) {
  if (r.rawHeadersIn.length > MOST_HEADERS) return 'excess'
  const shown = credentialsOf(r)
  const sent = shown.filter(header => header[1].trim() !== '')
  if (sent.length === 0) return 'missing'
  const names = shown.map(header => header[0].toLowerCase().replace(/_/g, '-'))
  // Claude Code sends what its apiKeyHelper prints in two headers.
  const credentials = sent.map(header => (isAuthorization(header) ? bearerOf(r) : header[1].trim()))
  const isOne = credentials.every(each => each === credentials[0])
  if (!isOne || names.some((name, index) => names.indexOf(name) !== index)) return 'ambiguous'
  if (sent.some(isAuthorization) && credentials[0].indexOf('eyJ') === 0) return 'token'
  return isWhole(credentials[0]) ? 'key' : 'invalid'
}

const isAuthorization = header => header[0].toLowerCase() === 'authorization'

// '' where the header has another format.
function bearerOf(r) {
  const found = /^bearer +([\x21-\x7e]+)$/i.exec((r.headersIn.Authorization || '').trim())
  return found ? found[1] : ''
}

const CREDENTIAL_HEADERS = ['authorization', 'x-api-key', 'api-key']
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

// Keys that were imported with "lookup" have no checksum. A pattern of their format lets them through to the check:
// /^sk-[\w-]+$/ for keys of LiteLLM. undefined: none.
const IMPORTED_KEYS = undefined

// The format of an API key, and its last six characters: the CRC-32 of all before them, in base 62.
function isWhole(key) {
  if (IMPORTED_KEYS && key.length >= 25 && key.length <= 512 && IMPORTED_KEYS.test(key)) return true
  if (!/^mmk_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/.test(key)) return false
  let crc = 0xffffffff
  for (let i = 0; i < key.length - 6; i++) {
    crc ^= key.charCodeAt(i)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  let rest = (crc ^ 0xffffffff) >>> 0
  let text = ''
  for (let digit = 0; digit < 6; digit++) {
    text = DIGITS[rest % 62] + text
    rest = Math.floor(rest / 62)
  }
  return key.slice(-6) === text
}

// For auth_request: 204 with the token as Mintmark's answer has it, 401, or 403 for a token with other scopes.
async function token(r) {
  const shown = await shownToken(r)
  if (shown.status) return deny(r, shown.status, shown.body, shown.reason)
  r.headersOut['Authorization'] = 'Bearer ' + shown.jwt
  r.return(204)
}

// The token with its claims, or the status and the body of its refusal.
async function shownToken(r) {
  const jwt = bearerOf(r)
  let claims
  try {
    claims = await verified(jwt)
  } catch (e) {
    claims = undefined
  }
  if (!claims) return { status: 401, reason: 'token_invalid', body: errorBody('authentication_error', 'invalid_token', 'Invalid token: expired, revoked, or issued for another service. Exchange your API key for a new token.') }
  if (String(claims.scope).split(' ').indexOf(SCOPE) < 0)
    return { status: 403, reason: 'token_scope', body: errorBody('permission_error', 'scope_not_granted', 'The token does not have the scope `' + SCOPE + '`.') }
  return { jwt: jwt, claims: claims }
}

// The models of the token, in a list that OpenAI's and Anthropic's clients read. Not the list of the engine, which contains every tenant's
// adapters.
async function models(r) {
  r.headersOut['Content-Type'] = 'application/json'
  const shown = await shownToken(r)
  if (shown.status === 401) r.headersOut['WWW-Authenticate'] = 'Bearer realm="mintmark", error="invalid_token"'
  if (shown.status) return r.return(shown.status, shown.body)
  const claims = shown.claims
  const listed = (names, owner) =>
    names.map(id => ({
      id: id,
      object: 'model',
      created: claims.iat,
      owned_by: owner,
      type: 'model',
      display_name: id,
      created_at: '1970-01-01T00:00:00Z',
    }))
  const data = listed(claims.models, 'mintmark').concat(listed(claims.adapters, claims.tenant))
  const name = modelInPath(r.variables.request_uri)
  if (name === undefined) return r.return(200, JSON.stringify({ object: 'list', data: data, has_more: false }))
  // A proxy may have merged the slashes in front of a name that begins with one.
  const found = data.filter(entry => entry.id === name || entry.id === '/' + name)
  if (found.length === 0) return r.return(404, MODEL_NOT_FOUND)
  r.return(200, JSON.stringify(found[0]))
}

const MODEL_NOT_FOUND = '{"type":"error","error":{"message":"Unknown model, or not allowed for this credential. GET /v1/models lists the allowed models.","type":"not_found_error","code":"model_not_found","param":"model"}}'

// Undefined: the list. A name may be sent with its slashes encoded or not.
function modelInPath(uri) {
  const path = uri.split('?')[0]
  if (path.indexOf('/v1/models/') !== 0) return path === '/v1/models' ? undefined : ''
  try {
    return decodeURIComponent(path.slice('/v1/models/'.length))
  } catch (e) {
    return ''
  }
}

function deny(r, status, body, reason) {
  r.headersOut['X-Mintmark-Denial'] = body
  r.headersOut['X-Mintmark-Reason'] = reason
  r.return(status)
}

// Of $mm_token.
const claimsOf = r => decoded(r.variables.mm_token.split('.')[1])

// The credential was good: $mm_token is the token, verified here or issued by Mintmark. The body has been read since.
async function gate(r) {
  if (refusesLate(r)) return
  const named = await modelOf(r)
  if (named.status) return refuse(r, named.status, 'invalid_request_error', 'invalid_body', named.fault)
  const claims = claimsOf(r)
  if (claims.models.indexOf(named.model) < 0 && claims.adapters.indexOf(named.model) < 0)
    return refuse(r, 403, 'permission_error', 'model_not_allowed', 'Unknown model, or not allowed for this API key. GET /v1/models lists the allowed models.')
  r.variables.mm_model = named.model
  r.variables.mm_tenant = claims.tenant
  r.variables.mm_priority = claims.priority
  r.variables.mm_tier = claims.tier
  r.variables.mm_adapter_list = claims.adapter_list
  r.internalRedirect('@engine')
}

// The credential was checked before the body arrived, so what arrives late is refused: otherwise a token that has expired, or a
// credential that was revoked, would work for as long as its sender likes. The token of an API key is Mintmark's own and may end
// sooner than the key, which the time bounds.
function refusesLate(r) {
  if (Number(r.variables.request_time) > LONGEST_REQUEST_SECONDS) {
    refuse(r, 408, 'invalid_request_error', 'request_timeout', 'The request took longer than ' + LONGEST_REQUEST_SECONDS + ' seconds to arrive.')
    return true
  }
  if (r.variables.mm_kind !== 'token' || isCurrent(claimsOf(r))) return false
  r.variables.mm_denied = 'token_invalid'
  r.headersOut['WWW-Authenticate'] = 'Bearer realm="mintmark", error="invalid_token"'
  refuse(r, 401, 'authentication_error', 'invalid_token', 'Invalid token: expired, revoked, or issued for another service. Exchange your API key for a new token.')
  return true
}

const isCurrent = claims => claims.exp > Date.now() / 1000

async function modelOf(r) {
  const headers = r.headersIn
  const types = r.rawHeadersIn.filter(header => header[0].toLowerCase() === 'content-type')
  if (types.length !== 1 || headers['Content-Encoding'] !== undefined || !isPlainJson(headers['Content-Type'] || ''))
    return { status: 415, fault: 'Unsupported body. Send application/json in UTF-8, not compressed.' }
  const body = r.requestBuffer
  // In njs an empty buffer throws when it is read.
  if (!body || body.length === 0) return { status: 400, fault: NOT_JSON }
  beginScan()
  const read = await readModel(body, ROUTES[r.uri])
  if (read.fault) return { status: 400, fault: read.fault }
  if (read.model === undefined) return { status: 400, fault: 'The body names no `model`.' }
  // No caller is granted a name of another format.
  return { model: /^(\.{0,2}\/)?[A-Za-z0-9][-A-Za-z0-9._:\/@]{0,95}$/.test(read.model) ? read.model : '-' }
}

// The claims of a valid token of Mintmark for this audience, otherwise undefined. Throws for unreadable input.
async function verified(jwt) {
  // The decoder below stops at the first invalid character, so reject it first.
  if (jwt.length >= LONGEST_TOKEN || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) return undefined
  const parts = jwt.split('.')
  const header = decoded(parts[0])
  const algorithm = ALGORITHMS[header.alg]
  // The kid is used as a file name: 43 characters of base64url, and nothing else.
  if (!algorithm || header.typ !== 'at+jwt' || !/^[A-Za-z0-9_-]{43}$/.test(header.kid)) return undefined
  const pem = require('fs').readFileSync(KEYS + '/' + header.kid + '.pem', 'utf8')
  const spki = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  const key = await crypto.subtle.importKey('spki', spki, algorithm, false, ['verify'])
  const signature = Buffer.from(parts[2], 'base64url')
  const signed = Buffer.from(parts[0] + '.' + parts[1])
  const good = await crypto.subtle.verify(algorithm, key, signature, signed)
  if (!good) return undefined
  const claims = decoded(parts[1])
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud]
  return claims.iss === ISSUER && audiences.indexOf(AUDIENCE) >= 0 && isCurrent(claims) ? claims : undefined
}

const decoded = text => JSON.parse(Buffer.from(text, 'base64url').toString())

function refuse(r, status, type, code, message) {
  r.headersOut['Content-Type'] = 'application/json'
  r.return(status, errorBody(type, code, message))
}

function errorBody(type, code, message) {
  return JSON.stringify({ type: 'error', error: { message: message, type: type, code: code, param: null } })
}

export default { refusal, kind, cacheKey, reason, token, models, gate, refusesLate, claimsOf }
