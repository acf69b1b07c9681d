-- Refuses what cannot be a good credential from the headers alone, so that no body is held for it: one credential, in one
-- header, once; a key of Mintmark's form with the right checksum, or a token's form. Whether it is good, Mintmark says.

local HEADERS = { "authorization", "x-api-key", "api-key" }
local DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
local bit = require("bit")

-- The last six characters of a key are the CRC-32 of all before them, in base 62.
local function checksum(text)
  local crc = -1
  for i = 1, #text do
    crc = bit.bxor(crc, string.byte(text, i))
    for _ = 1, 8 do
      local odd = bit.band(crc, 1) == 1
      crc = bit.rshift(crc, 1)
      if odd then crc = bit.bxor(crc, 0xedb88320) end
    end
  end
  local rest = bit.bnot(crc) % 4294967296
  local digits = ""
  for _ = 1, 6 do
    local digit = rest % 62
    digits = string.sub(DIGITS, digit + 1, digit + 1) .. digits
    rest = (rest - digit) / 62
  end
  return digits
end

local function may_be_good(credential)
  if string.find(credential, "^[%w_-]+%.[%w_-]+%.[%w_-]+$") then return true end
  local body, check = string.match(credential, "^(mmk_%w+_%w+)(%w%w%w%w%w%w)$")
  return body ~= nil and #credential == 70 and string.byte(credential, 21) == 95 and checksum(body) == check
end

local function refuse(handle, code, message)
  local body = '{"error":{"message":"' .. message .. '","type":"authentication_error","code":"' .. code .. '","param":null}}'
  local headers = {
    [":status"] = "401",
    ["content-type"] = "application/json",
    ["www-authenticate"] = 'Bearer realm="mintmark"',
  }
  handle:respond(headers, body)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local found, name
  for _, each in ipairs(HEADERS) do
    local value = headers:get(each)
    if value ~= nil and string.find(value, "%S") then
      if found then
        return refuse(handle, "ambiguous_credential", "Send one credential, once: a key or a token, in one header.")
      end
      found, name = value, each
    end
  end
  if not found then
    return refuse(handle, "missing_credential", 'Send your API key, or a token made from it, as \\"Authorization: Bearer <key>\\".')
  end
  local credential = string.match(found, "^%s*(%S+)%s*$")
  if name == "authorization" then credential = string.match(found, "^%s*[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)%s*$") end
  if not credential or not may_be_good(credential) then
    return refuse(handle, "invalid_api_key", "The API key is not valid. Check that it is whole and still in use, or ask for a new one.")
  end
end
