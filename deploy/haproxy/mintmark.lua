-- Made from deploy/generate/ by npm run generate: do not edit here. docs/guides/haproxy.md explains it.
-- Finds `model` in the body and holds it against the token, whose payload haproxy.cfg has verified.

-- path = the engine takes the priority from the header here. Elsewhere a body's `priority` is refused.
local ROUTES = {
  ["/v1/chat/completions"] = true,
  ["/v1/completions"] = true,
  ["/v1/responses"] = true,
  ["/v1/embeddings"] = false,
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
  local not_json = "Invalid body. Send a JSON object in UTF-8."
  local model, names, last
  local i, c = skip_space(text, 1)
  if c ~= OBJECT then return nil, not_json end
  i, c = skip_space(text, i + 1)
  while c ~= OBJECT_END do
    if c ~= QUOTE then return nil, not_json end
    last = string_end(text, i)
    if last == nil then return nil, not_json end
    local name = sub(text, i + 1, last - 1)
    if find(name, "\\", 1, true) then return nil, "Escaped names in the body. Write them without escapes." end
    i, c = skip_space(text, last + 1)
    if c ~= COLON then return nil, not_json end
    i, c = skip_space(text, i + 1)
    last = value_end(text, i, c)
    if last == nil then return nil, not_json end
    if name == "model" then
      if names then return nil, "Duplicate `model` in the body. Send it once." end
      if c ~= QUOTE then return nil, "`model` is not a string. Send the name of a model." end
      names = true
      -- Some encoders write / as \/. Any other escape has no place in a model's name.
      model = string.gsub(sub(text, i + 1, last - 1), "\\/", "/")
    elseif name == "priority" and not priority_from_header then
      return nil, "priority` is not supported on this route. Remove it."
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

-- The names are of letters, digits and -._:/@, so a name in quotes is found only as a whole member of the list.
local function holds(payload, claim, model)
  local list = string.match(payload, '"' .. claim .. '":(%b[])') or ""
  return find(list, '"' .. model .. '"', 1, true) ~= nil
end

core.register_action("mintmark_model", { "http-req" }, function(txn)
  local model, fault = read_model(txn.sf:req_body() or "", ROUTES[txn.sf:path()])
  if fault then
    txn:set_var("txn.fault", fault)
  elseif #model <= 96 and find(model, "^%w[-%w._:/@]*$") then
    local payload = txn:get_var("txn.payload") or ""
    if holds(payload, "models", model) or holds(payload, "adapters", model) then txn:set_var("txn.model", model) end
  end
end, 0)
