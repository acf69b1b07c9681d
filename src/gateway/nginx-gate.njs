// Made by scripts/generate-deploy.ts from src/gateway/: do not edit here. docs/guides/nginx.md explains it.
// For njs 0.7.9 and later. nginx.conf beside it says where each function is called.

const ISSUER = '@ISSUER@'
const AUDIENCE = '@AUDIENCE@'
// One PEM for each published key, called after its kid: fetch-keys.sh brings them.
const KEYS = '/etc/nginx/mintmark/keys'
const LONGEST_TOKEN = 4096

// path = the engine takes the priority from the header here. Elsewhere a body's `priority` is refused.
const ROUTES = {
@ROUTES@
}

const ALGORITHMS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256', saltLength: 32 },
}

@READ_MODEL@

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
@SET_CLAIMS@
  r.internalRedirect('@token')
}

function modelOf(r) {
  const headers = r.headersIn
  const types = r.rawHeadersIn.filter(header => header[0].toLowerCase() === 'content-type')
  if (types.length !== 1 || headers['Content-Encoding'] !== undefined || !isPlainJson(headers['Content-Type'] || ''))
    return { status: 415, fault: 'Send the body as application/json in UTF-8, not compressed.' }
  const read = readModel(r.requestBuffer || Buffer.alloc(0), ROUTES[r.uri])
  if (read.fault) return { status: 400, fault: read.fault }
  if (read.model === undefined) return { status: 400, fault: 'The body names no `model`.' }
  // No name of another form is granted to anybody.
  return { model: /^[A-Za-z0-9][-A-Za-z0-9._:\/@]{0,95}$/.test(read.model) ? read.model : '-' }
}

// The claims of a token of ours for this audience, or nothing. Throws for what cannot be read.
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
  refuse(r, 401, 'authentication_error', 'invalid_token', 'The token is not valid. Exchange your API key for a new one.')
}

function refuse(r, status, type, code, message) {
  r.headersOut['Content-Type'] = 'application/json'
  r.return(status, JSON.stringify({ error: { message: message, type: type, code: code, param: null } }))
}

export default { gate }
