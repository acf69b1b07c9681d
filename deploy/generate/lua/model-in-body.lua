local byte, find, sub = string.byte, string.find, string.sub
-- As src/gateway/model-in-body.ts bounds them.
local MOST_NAMES, LONGEST_MODEL, LONGEST_LITERAL, MOST_MARKS = 1000, 192, 1024, 262144
local QUOTE, BACKSLASH, COMMA, COLON = 34, 92, 44, 58
local OBJECT, OBJECT_END, LIST, LIST_END = 123, 125, 91, 93

-- The first byte at or after i that is not JSON white space. Patterns are matched in C: a loop over bytes would take a second
-- for a body of megabytes.
local function skip_space(text, i)
  i = find(text, "[^ \t\n\r]", i) or #text + 1
  return i, byte(text, i)
end

-- i is at an opening quote. Returns the index of the closing one, or nil.
local function string_end(text, i)
  i = find(text, '["\\]', i + 1)
  while i and byte(text, i) == BACKSLASH do
    i = find(text, '["\\]', i + 2)
  end
  return i
end

-- i is at an opening bracket. Returns the index of the matching closing one, or nil.
local function nested_end(text, i)
  local depth, marks = 0, 0
  while i and marks < MOST_MARKS do
    marks = marks + 1
    local c = byte(text, i)
    if c == QUOTE then
      i = string_end(text, i)
      if i == nil then return nil end
    elseif c == OBJECT or c == LIST then
      depth = depth + 1
    else
      depth = depth - 1
      if depth == 0 then return i end
    end
    i = find(text, '["%[%]{}]', i + 1)
  end
end

local function value_end(text, i, c)
  if c == QUOTE then return string_end(text, i) end
  if c == OBJECT or c == LIST then return nested_end(text, i) end
  local _, last = find(text, "^[-+.%w]+", i)
  if last and last - i < LONGEST_LITERAL then return last end
end

-- Returns the model, or nil and the fault.
local function read_model(text, priority_from_header)
  local not_json = "Invalid body. Send a JSON object in UTF-8."
  local model, found, last
  local names = 0
  local i, c = skip_space(text, 1)
  if c ~= OBJECT then return nil, not_json end
  i, c = skip_space(text, i + 1)
  while c ~= OBJECT_END do
    if c ~= QUOTE then return nil, not_json end
    last = string_end(text, i)
    if last == nil then return nil, not_json end
    names = names + 1
    if names > MOST_NAMES then return nil, "The body has more than " .. MOST_NAMES .. " names." end
    local name = sub(text, i + 1, last - 1)
    if find(name, "\\", 1, true) then return nil, "Escaped names in the body. Write them without escapes." end
    i, c = skip_space(text, last + 1)
    if c ~= COLON then return nil, not_json end
    i, c = skip_space(text, i + 1)
    last = value_end(text, i, c)
    if last == nil then return nil, not_json end
    if name == "model" then
      if found then return nil, "Duplicate `model` in the body. Send it once." end
      if c ~= QUOTE then return nil, "`model` is not a string. Send the name of a model." end
      if last - i - 1 > LONGEST_MODEL then return nil, "`model` is longer than " .. LONGEST_MODEL .. " bytes." end
      found = true
      -- Some encoders write / as \/. Any other escape has no place in a model's name.
      model = string.gsub(sub(text, i + 1, last - 1), "\\/", "/")
    elseif name == "priority" and not priority_from_header then
      return nil, "`priority` is not supported on this route. Remove it."
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
  if not found then return nil, "The body names no `model`." end
  return model
end
