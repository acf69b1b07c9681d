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

local byte, find, sub = string.byte, string.find, string.sub
local QUOTE, BACKSLASH, COMMA, COLON = 34, 92, 44, 58
local OBJECT, OBJECT_END, LIST, LIST_END = 123, 125, 91, 93

-- The first byte at or after i that is not JSON white space.
local function skip_space(text, i)
  local c = byte(text, i)
  while c == 32 or c == 9 or c == 10 or c == 13 do
    i = i + 1
    c = byte(text, i)
  end
  return i, c
end

-- i is at an opening quote. The index of the closing one, or nil.
local function string_end(text, i)
  i = i + 1
  local c = byte(text, i)
  while c ~= QUOTE do
    if c == nil then return nil end
    if c == BACKSLASH then i = i + 1 end
    i = i + 1
    c = byte(text, i)
  end
  return i
end

-- i is at an opening bracket. The index of the one that closes it, or nil.
local function nested_end(text, i)
  local depth = 0
  while true do
    local c = byte(text, i)
    if c == nil then return nil end
    if c == QUOTE then
      i = string_end(text, i)
      if i == nil then return nil end
    elseif c == OBJECT or c == LIST then
      depth = depth + 1
    elseif c == OBJECT_END or c == LIST_END then
      depth = depth - 1
      if depth == 0 then return i end
    end
    i = i + 1
  end
end

local function value_end(text, i, c)
  if c == QUOTE then return string_end(text, i) end
  if c == OBJECT or c == LIST then return nested_end(text, i) end
  local _, last = find(text, "^[-+.%w]+", i)
  return last
end

-- The model, or nil and what is wrong.
local function read_model(text, priority_from_header)
  local not_json = "The body is not a JSON object in UTF-8."
  local model, names, last
  local i, c = skip_space(text, 1)
  if c ~= OBJECT then return nil, not_json end
  i, c = skip_space(text, i + 1)
  while c ~= OBJECT_END do
    if c ~= QUOTE then return nil, not_json end
    last = string_end(text, i)
    if last == nil then return nil, not_json end
    local name = sub(text, i + 1, last - 1)
    if find(name, "\\", 1, true) then return nil, "Write the names in the body without escapes." end
    i, c = skip_space(text, last + 1)
    if c ~= COLON then return nil, not_json end
    i, c = skip_space(text, i + 1)
    last = value_end(text, i, c)
    if last == nil then return nil, not_json end
    if name == "model" then
      if names then return nil, "The body names `model` more than once." end
      if c ~= QUOTE then return nil, "`model` is not a string." end
      names = true
      -- Some encoders write / as \/. Any other escape has no place in a model's name.
      model = string.gsub(sub(text, i + 1, last - 1), "\\/", "/")
    elseif name == "priority" and not priority_from_header then
      return nil, "This route takes no `priority`."
    end
    i, c = skip_space(text, last + 1)
    if c == COMMA then
      i, c = skip_space(text, i + 1)
      if c ~= QUOTE then return nil, not_json end
    elseif c ~= OBJECT_END then
      return nil, not_json
    end
  end
  i, c = skip_space(text, i + 1)
  if c ~= nil then return nil, not_json end
  if not names then return nil, "The body names no `model`." end
  return model
end

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
