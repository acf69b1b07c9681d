-- Reads `model` from a JSON body and makes it the header @MODEL_HEADER@.
--
-- The engine reads the body with Python's json.loads, so the value found here is the one found there, or the request
-- is refused: a name given twice, a name written with escapes, another encoding, another media type. What is nested
-- needs no check beyond its end: if it is not JSON, the engine refuses it. Should this script fail, the header is
-- missing and the entitlement rule answers 403.

-- path = the engine takes the priority from the header here. Elsewhere a body's `priority` would count: refused.
local ROUTES = {
@ROUTES@
}

@SCANNER@
local function is_plain_json(headers)
  if headers:get("content-encoding") ~= nil then return false end
  local media_type = string.lower(headers:get("content-type") or "")
  return find(media_type, "^application/json%s*$") ~= nil
    or find(media_type, '^application/json%s*;%s*charset="?utf%-8"?%s*$') ~= nil
end

local function refuse(handle, status, message)
  local body = '{"error":{"message":"' .. message .. '","type":"invalid_request_error","code":"invalid_body","param":null}}'
  handle:respond({ [":status"] = status, ["content-type"] = "application/json" }, body)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove("@MODEL_HEADER@")
  -- An upgraded request has no end, so its body could not be read; Istio's gateways allow websockets.
  if headers:get("upgrade") ~= nil then return refuse(handle, "400", "No upgrade is open here.") end
  if headers:get(":method") ~= "POST" then return end
  local priority_from_header = ROUTES[string.match(headers:get(":path") or "", "^[^?#]*")]
  if priority_from_header == nil then return end
  if not is_plain_json(headers) then
    return refuse(handle, "415", "Send the body as application/json in UTF-8, not compressed.")
  end
  local body = handle:body(true)
  local size = body:length()
  -- Where a filter before this one waited, Envoy may have taken in more than the listener's limit.
  if size > @LONGEST_BODY@ then return refuse(handle, "413", "The body is longer than @LONGEST_BODY@ bytes.") end
  local model, fault = read_model(size > 0 and body:getBytes(0, size) or "", priority_from_header)
  if fault then return refuse(handle, "400", fault) end
  -- A token holds no name of another form, so without the header it is 403 like any other foreign model.
  if #model <= 96 and find(model, "^%w[-%w._:/@]*$") then handle:headers():replace("@MODEL_HEADER@", model) end
end
