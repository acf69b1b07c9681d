-- Generated from deploy/generate/ by npm run generate: do not edit. docs/guides/limits.md explains it.
-- Contract number: 1.
-- Enforces the limits of requests in the token. Loaded once for all threads: this process counts, not one of several.

-- The current window of each unit, in UTC: its number, and the requests of each bucket so far.
local WINDOWS = {
  DAY = { seconds = 86400, counts = {} },
  MINUTE = { seconds = 60, counts = {} },
}
-- Those of a day first: of several that are used up the one with the longest wait is reported.
local LIMITS = { { name = "requests_daily", unit = "DAY" }, { name = "requests", unit = "MINUTE" } }
-- After a longer wait a client repeats nothing.
local LONGEST_WAIT_SECONDS = 60

local function window_at(unit, now)
  local window = WINDOWS[unit]
  local number = math.floor(now / window.seconds)
  if number ~= window.number then window.number, window.counts = number, {} end
  return window
end

-- The payload is verified, and written by Mintmark without white space; a quote in a text of it is escaped.
local function allowances(payload)
  local limits = string.match(payload, '"limits":(%b{})') or ""
  local owners = {
    tenant = string.match(payload, '"tenant":"([^"\\]*)"'),
    key = string.match(payload, '"sub":"([^"\\]*)"'),
  }
  local now, found = os.time(), {}
  for _, limit in ipairs(LIMITS) do
    for bucket, owner in pairs(owners) do
      local of_bucket = string.match(limits, '"' .. bucket .. '":(%b{})') or ""
      local most = string.match(of_bucket, '"' .. limit.name .. '":{"requests_per_unit":(%d+),"unit":"' .. limit.unit .. '"}')
      if most then
        local window = window_at(limit.unit, now)
        local name = bucket .. " " .. owner
        local used = window.counts[name] or 0
        found[#found + 1] = {
          counts = window.counts, name = name, used = used, most = tonumber(most), seconds = window.seconds,
          reset = window.seconds - now % window.seconds,
        }
      end
    end
  end
  return found
end

local function report(txn, allowance, left)
  txn:set_var("txn.limit", allowance.most .. ", " .. allowance.most .. ";w=" .. allowance.seconds)
  txn:set_var("txn.remaining", left)
  txn:set_var("txn.reset", allowance.reset)
end

-- A rejected request uses up nothing.
core.register_action("mintmark_limits", { "http-req" }, function(txn)
  local found = allowances(txn:get_var("txn.payload") or "")
  for _, allowance in ipairs(found) do
    if allowance.used >= allowance.most then
      txn:set_var("txn.limited", allowance.reset > LONGEST_WAIT_SECONDS and "day" or "minute")
      return report(txn, allowance, 0)
    end
  end
  local least
  for _, allowance in ipairs(found) do
    allowance.counts[allowance.name] = allowance.used + 1
    allowance.left = allowance.most - allowance.used - 1
    if not least or allowance.left < least.left then least = allowance end
  end
  if least then report(txn, least, least.left) end
end, 0)
