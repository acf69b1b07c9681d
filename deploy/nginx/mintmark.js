// Made from deploy/generate/ by npm run generate: do not edit here. docs/guides/nginx.md explains it.
// For njs 0.7.9 and later. nginx.conf in the same folder calls it.

const ISSUER = 'https://tokens.example.com'
const AUDIENCE = 'vllm'
// One PEM for each published key, called after its kid: fetch-keys.sh brings them.
const KEYS = '/etc/nginx/mintmark/keys'
const LONGEST_TOKEN = 4096

// path = the engine takes the priority from the header here. Elsewhere a body's `priority` is refused.
const ROUTES = {
  '/v1/chat/completions': true,
  '/v1/completions': true,
  '/v1/responses': true,
  '/v1/embeddings': false,
}

const ALGORITHMS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256', saltLength: 32 },
}

/**
 * Finds `model` in a JSON body as the engine will: with Python's json.loads, of names that are given twice the last
 * counts, others take the first. So whatever could be read in two ways is refused: a name given twice or written with
 * escapes, another encoding, anything that is not one object. What is nested is skipped, not checked: if it is not JSON,
 * the engine refuses it. deploy/generate/lua/model-in-body.lua is the same in Lua; deploy/nginx/ carries this
 * very text, so it keeps to what njs 0.7 understands.
 */

const QUOTE = 34
const COMMA = 44
const COLON = 58
const LIST = 91
const BACKSLASH = 92
const LIST_END = 93
const OBJECT = 123
const OBJECT_END = 125

const NOT_JSON = 'Invalid body. Send a JSON object in UTF-8.'

/** `takesPriority`: whether a top-level `priority` may be there. */
function readModel(body, takesPriority) {
  let model
  let i = skipSpace(body, 0)
  if (body[i] !== OBJECT) return { fault: NOT_JSON }
  i = skipSpace(body, i + 1)
  while (body[i] !== OBJECT_END) {
    const nameEnd = body[i] === QUOTE ? stringEnd(body, i) : -1
    if (nameEnd < 0) return { fault: NOT_JSON }
    const name = textOf(body, i + 1, nameEnd)
    if (name.indexOf('\\') >= 0) return { fault: 'Escaped names in the body. Write them without escapes.' }
    i = skipSpace(body, nameEnd + 1)
    if (body[i] !== COLON) return { fault: NOT_JSON }
    i = skipSpace(body, i + 1)
    const end = valueEnd(body, i)
    if (end < 0) return { fault: NOT_JSON }
    if (name === 'model') {
      if (model !== undefined) return { fault: 'Duplicate `model` in the body. Send it once.' }
      if (body[i] !== QUOTE) return { fault: '`model` is not a string. Send the name of a model.' }
      // Some encoders write / as \/. Any other escape has no place in a model's name.
      model = textOf(body, i + 1, end).replace(/\\\//g, '/')
    } else if (name === 'priority' && !takesPriority)
      return { fault: '`priority` is not supported on this route. Remove it.' }
    i = skipSpace(body, end + 1)
    if (body[i] === COMMA) {
      i = skipSpace(body, i + 1)
      if (body[i] !== QUOTE) return { fault: NOT_JSON }
    } else if (body[i] !== OBJECT_END) return { fault: NOT_JSON }
  }
  if (skipSpace(body, i + 1) < body.length) return { fault: NOT_JSON }
  return model === undefined ? {} : { model: model }
}

/** `application/json`, in UTF-8 where it says so. */
function isPlainJson(contentType) {
  return /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(contentType)
}

/** The first place at or after `i` that is not JSON white space. */
function skipSpace(body, i) {
  let at = i
  while (body[at] === 32 || body[at] === 9 || body[at] === 10 || body[at] === 13) at++
  return at
}

/** `i` is at an opening quote: where the closing one is, or -1. */
function stringEnd(body, i) {
  for (let at = i + 1; at < body.length; at++) {
    if (body[at] === QUOTE) return at
    if (body[at] === BACKSLASH) at++
  }
  return -1
}

/** `i` is at an opening bracket: where the one is that closes it, or -1. */
function nestedEnd(body, i) {
  let depth = 0
  for (let at = i; at < body.length; at++) {
    const c = body[at]
    if (c === QUOTE) {
      at = stringEnd(body, at)
      if (at < 0) return -1
    } else if (c === OBJECT || c === LIST) depth++
    else if (c === OBJECT_END || c === LIST_END) {
      depth--
      if (depth === 0) return at
    }
  }
  return -1
}

function valueEnd(body, i) {
  if (body[i] === QUOTE) return stringEnd(body, i)
  if (body[i] === OBJECT || body[i] === LIST) return nestedEnd(body, i)
  let at = i
  while (isLiteral(body[at])) at++
  return at > i ? at - 1 : -1
}

/** Letters, digits, sign and point: true, null, -1.5e+3, and NaN, which Python takes. */
function isLiteral(c) {
  if (c === undefined) return false
  return (
    (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 43 || c === 45 || c === 46
)
}

/** One character for each byte: what is not ASCII is no name of ours, whatever it becomes. */
function textOf(body, from, to) {
  let text = ''
  for (let at = from; at < to; at++) text += String.fromCharCode(body[at])
  return text
}

// What a client shows: a key is asked about, a token is verified here, everything else ends here.
async function gate(r) {
  const named = modelOf(r)
  if (named.status) return refuse(r, named.status, 'invalid_request_error', 'invalid_body', named.fault)
  r.variables.mm_model = named.model
  const authorization = r.headersIn['Authorization'] || ''
  const other = r.headersIn['X-Api-Key'] || r.headersIn['Api-Key']
  if (other || authorization.indexOf('Bearer eyJ') !== 0) {
    r.variables.mm_cache_key = digestOf([
      authorization, r.headersIn['X-Api-Key'] || '', r.headersIn['Api-Key'] || '', named.model,
    ])
    return r.internalRedirect('@key')
  }
  let claims
  try {
    claims = await verified(authorization.slice('Bearer '.length))
  } catch (e) {
    claims = undefined
  }
  if (!claims) return unauthorized(r)
  if (claims.models.indexOf(named.model) < 0 && claims.adapters.indexOf(named.model) < 0)
    return refuse(r, 403, 'permission_error', 'model_not_allowed', 'The token does not allow this model.')
  r.variables.mm_tenant = claims.tenant
  r.variables.mm_priority = claims.priority
  r.variables.mm_tier = claims.tier
  r.variables.mm_adapter_list = claims.adapter_list
  r.internalRedirect('@token')
}

function modelOf(r) {
  const headers = r.headersIn
  const types = r.rawHeadersIn.filter(header => header[0].toLowerCase() === 'content-type')
  if (types.length !== 1 || headers['Content-Encoding'] !== undefined || !isPlainJson(headers['Content-Type'] || ''))
    return { status: 415, fault: 'Unsupported body. Send application/json in UTF-8, not compressed.' }
  const read = readModel(r.requestBuffer || Buffer.alloc(0), ROUTES[r.uri])
  if (read.fault) return { status: 400, fault: read.fault }
  if (read.model === undefined) return { status: 400, fault: 'The body names no `model`.' }
  // No name of another form is granted to anybody.
  return { model: /^[A-Za-z0-9][-A-Za-z0-9._:\/@]{0,95}$/.test(read.model) ? read.model : '-' }
}

// The claims of a valid token of Mintmark for this audience, or nothing. Throws for what cannot be read.
async function verified(jwt) {
  // What is decoded below stops at the first strange character, so there must be none.
  if (jwt.length >= LONGEST_TOKEN || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) return undefined
  const parts = jwt.split('.')
  const header = decoded(parts[0])
  const algorithm = ALGORITHMS[header.alg]
  // The kid is a file's name: 43 characters of base64url, and nothing else.
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
  const current = claims.exp > Date.now() / 1000
  return claims.iss === ISSUER && audiences.indexOf(AUDIENCE) >= 0 && current ? claims : undefined
}

const decoded = text => JSON.parse(Buffer.from(text, 'base64url').toString())

// In place of the credential and the model, so that neither is in the cache's files.
function digestOf(texts) {
  return require('crypto').createHash('sha256').update(JSON.stringify(texts)).digest('hex')
}

function unauthorized(r) {
  r.headersOut['WWW-Authenticate'] = 'Bearer realm="mintmark", error="invalid_token"'
  refuse(r, 401, 'authentication_error', 'invalid_token', 'Invalid token. Exchange your API key for a new one. Exchange your API key for a new one.')
}

function refuse(r, status, type, code, message) {
  r.headersOut['Content-Type'] = 'application/json'
  r.return(status, JSON.stringify({ error: { message: message, type: type, code: code, param: null } }))
}

export default { gate }
