// Generated from deploy/generate/ by npm run generate: do not edit. docs/guides/limits.md explains it.
// Contract number: 1.
// Enforces the limits of requests in the token, as the workers of this nginx count together. For njs 0.8.9 and later.

import mintmark from 'mintmark.js'

// Windows in UTC. Those of a day first: of several that are used up the one with the longest wait is reported.
const LIMITS = [
  { name: 'requests_daily', unit: 'DAY', seconds: 86400 },
  { name: 'requests', unit: 'MINUTE', seconds: 60 },
]
// After a longer wait a client repeats nothing.
const LONGEST_WAIT_SECONDS = 60

// The credential is good. What is rejected here uses up nothing.
async function gate(r) {
  if (mintmark.refusesLate(r)) return
  const counts = ngx.shared.mintmark_limits
  const found = allowances(mintmark.claimsOf(r))
  const counted = []
  let least
  for (let i = 0; i < found.length; i++) {
    const allowance = found[i]
    const used = counts.incr(allowance.window, 1, 0, allowance.seconds * 1000)
    counted.push(allowance.window)
    if (used > allowance.most) {
      counted.forEach(window => counts.incr(window, -1, 0, allowance.seconds * 1000))
      report(r, allowance, 0)
      return refuse(r, allowance.reset)
    }
    allowance.left = allowance.most - used
    if (!least || allowance.left < least.left) least = allowance
  }
  if (least) report(r, least, least.left)
  return mintmark.gate(r)
}

function allowances(claims) {
  const now = Math.floor(Date.now() / 1000)
  const owners = { tenant: claims.tenant, key: claims.sub }
  const found = []
  LIMITS.forEach(limit =>
    Object.keys(owners).forEach(bucket => {
      const allowance = ((claims.limits || {})[bucket] || {})[limit.name]
      if (!allowance || allowance.unit !== limit.unit || typeof allowance.requests_per_unit !== 'number') return
      found.push({
        window: [bucket, owners[bucket], limit.unit, Math.floor(now / limit.seconds)].join(' '),
        most: allowance.requests_per_unit,
        seconds: limit.seconds,
        reset: limit.seconds - (now % limit.seconds),
      })
    }),
  )
  return found
}

function report(r, allowance, left) {
  r.variables.mm_limit = allowance.most + ', ' + allowance.most + ';w=' + allowance.seconds
  r.variables.mm_remaining = String(left)
  r.variables.mm_reset = String(allowance.reset)
}

function refuse(r, reset) {
  r.headersOut['Content-Type'] = 'application/json'
  r.headersOut['Retry-After'] = String(reset)
  if (reset <= LONGEST_WAIT_SECONDS) return r.return(429, LIMIT_OF_MINUTE)
  r.headersOut['x-should-retry'] = 'false'
  r.return(429, LIMIT_OF_DAY)
}

const LIMIT_OF_MINUTE = '{"type":"error","error":{"message":"The limit of requests of a minute is reached. Retry after the seconds in Retry-After.","type":"rate_limit_error","code":"rate_limit_exceeded","param":null}}'
const LIMIT_OF_DAY = '{"type":"error","error":{"message":"The limit of requests of a day is reached. It starts again at midnight UTC.","type":"rate_limit_error","code":"rate_limit_exceeded","param":null}}'

export default { gate }
