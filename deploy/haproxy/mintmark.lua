-- Generated from deploy/generate/ by npm run generate: do not edit. docs/guides/haproxy.md explains it.
-- Contract number: 1.
-- Finds `model` in the body and compares it with the token, of which haproxy.cfg has verified the payload; lists the caller's models.

-- path = the engine takes the priority from the header. On other routes a `priority` in the body is rejected.
local ROUTES = {
  ["/v1/chat/completions"] = true,
  ["/v1/completions"] = true,
  ["/v1/responses"] = true,
  ["/v1/embeddings"] = false,
  ["/v1/messages"] = true,
  ["/v1/messages/count_tokens"] = true,
}

local byte, find, sub = string.byte, string.find, string.sub
-- As src/gateway/model-in-body.ts bounds them.
local MOST_NAMES, LONGEST_MODEL, LONGEST_LITERAL, MOST_MARKS = 1000, 192, 1024, 262144
local QUOTE, COMMA, COLON = 34, 44, 58
local OBJECT, OBJECT_END, LIST = 123, 125, 91
local STEERING_FIELDS = {
  ["kv_transfer_params"] = true,
  ["ec_transfer_params"] = true,
  ["vllm_xargs"] = true,
  ["previous_response_id"] = true,
  ["background"] = true,
  ["nvext"] = true,
  ["request_id"] = true,
  ["lora_path"] = true,
  ["bootstrap_host"] = true,
  ["bootstrap_port"] = true,
  ["bootstrap_room"] = true,
  ["bootstrap_pair_key"] = true,
  ["data_parallel_rank"] = true,
  ["data_parallel_rank_decode"] = true,
  ["rid"] = true,
  ["session_params"] = true,
  ["extra_key"] = true,
}
-- Nested names whose value is media, or an object with a `url`: the engine would fetch the address.
local FETCHED_FIELDS = {
  ["image_url"] = true,
  ["audio_url"] = true,
  ["video_url"] = true,
  ["source"] = true,
}
-- By the `uuid` of such media vLLM takes what an earlier request of any tenant stored under it.
local UUID_FIELDS = {
  ["image_url"] = true,
  ["audio_url"] = true,
  ["video_url"] = true,
  ["input_audio"] = true,
  ["image_embeds"] = true,
  ["audio_embeds"] = true,
  ["video_embeds"] = true,
  ["image_pil"] = true,
}
local LONGEST_MEDIA_NAME = 12
-- In the objects of the list `input`, which SGLang embeds.
local EMBEDDED_INPUTS = { image = true, video = true }
-- Open brackets in such an object, and in a part of a message, where `input` has the arguments of a tool.
local INPUT_DEPTH, TOOL_DEPTH = 2, 4
-- Names are read at any depth.
local ALL = math.huge
-- Schemas of tools and answers, and what clients note for themselves.
local UNREAD_FIELDS = { tools = true, metadata = true, response_format = true }

-- The first byte at or after i that is not JSON white space. Patterns are matched in C: a loop over bytes would take a second
-- for a body of megabytes.
local function skip_space(text, i)
  i = find(text, "[^ \t\n\r]", i) or #text + 1
  return i, byte(text, i)
end

-- i is at an opening quote, and no escape contains a quote (see read_model). Returns the index of the closing one, or nil.
local function string_end(text, i)
  return (find(text, '"', i + 1, true))
end

-- i is at an opening quote.
local function is_data(text, i)
  return string.lower(sub(text, i + 1, i + 5)) == "data:"
end

local function address_in(name)
  return "`" .. name .. "` is an address. Send the media itself, as a data: URI."
end

local function character(hex)
  return string.char(tonumber(hex, 16))
end

-- A string in a nested value, from the quote at i to the one at last; depth = how many brackets are open.
local function read_nested(text, i, last, depth, scan)
  if depth > scan.unread_below then return end
  scan.unread_below = ALL
  if scan.lists and depth == 1 and not is_data(scan.written, i) then scan.fault = address_in("images") end
  -- A character is at most six bytes.
  if last - i - 1 > 6 * LONGEST_MEDIA_NAME then return end
  local name = sub(scan.written, i + 1, last - 1)
  -- Python reads a name with escapes as one without.
  if find(name, "\\", 1, true) then name = string.gsub(name, "\\u00(%x%x)", character) end
  local fetched = FETCHED_FIELDS[name]
  local embedded = scan.embeds and depth <= INPUT_DEPTH and EMBEDDED_INPUTS[name]
  local called = scan.talks and depth == TOOL_DEPTH and name == "input"
  if not (fetched or embedded or called or UUID_FIELDS[name] or name == "url" or name == "uuid") then return end
  local c
  i, c = skip_space(text, last + 1)
  if c ~= COLON then return end
  i, c = skip_space(text, i + 1)
  scan.begins_media = fetched and c == OBJECT
  if called then scan.unread_below = depth end
  local addresses = embedded or (fetched and name ~= "source")
  if name == "url" then addresses = scan.is_media[depth] end
  if addresses and c == QUOTE and not is_data(scan.written, i) then scan.fault = address_in(name) end
  scan.has_media[depth] = scan.has_media[depth] or UUID_FIELDS[name]
  scan.has_uuid[depth] = scan.has_uuid[depth] or name == "uuid"
  if scan.has_media[depth] and scan.has_uuid[depth] then
    scan.fault = "`uuid` of media is not supported here. Remove it."
  end
end

-- i is at an opening bracket. Returns the index of the matching closing one, or nil.
local function nested_end(text, i, scan)
  local depth = 0
  while i and scan.marks > 0 do
    scan.marks = scan.marks - 1
    local c = byte(text, i)
    if c == QUOTE then
      local last = string_end(text, i)
      if last == nil then return nil end
      if scan.reads then read_nested(text, i, last, depth, scan) end
      i = last
    elseif c == OBJECT or c == LIST then
      depth = depth + 1
      if depth <= scan.unread_below then scan.unread_below = ALL end
      scan.is_media[depth], scan.has_media[depth], scan.has_uuid[depth] = scan.begins_media, false, false
      scan.begins_media = false
    else
      depth = depth - 1
      if depth == 0 then return i end
    end
    i = find(text, '["%[%]{}]', i + 1)
  end
end

local function value_end(text, i, c, scan)
  if c == QUOTE then return string_end(text, i) end
  if c == OBJECT or c == LIST then return nested_end(text, i, scan) end
  local _, last = find(text, "^[-+.%w]+", i)
  if last and last - i < LONGEST_LITERAL then return last end
end

-- Returns the model, or nil and the fault; and where the value of `cache_salt` is, if the body has one.
local function read_model(written, priority_from_header)
  local not_json = "Invalid body. Send a JSON object in UTF-8."
  -- One native pass blanks the second byte of each escape: after it a quote is always the end of a string. Positions are kept.
  local text = find(written, "\\", 1, true) and string.gsub(written, "\\.", "\\_") or written
  local model, found, last, salt
  local names, scan = 0, { marks = MOST_MARKS, written = written, is_media = {}, has_media = {}, has_uuid = {}, begins_media = false }
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
    scan.reads, scan.lists, scan.unread_below = not UNREAD_FIELDS[name], name == "images", ALL
    scan.talks, scan.embeds = name == "messages", name == "input"
    last = value_end(text, i, c, scan)
    if last == nil then return nil, not_json end
    if scan.fault then return nil, scan.fault end
    if name == "model" then
      if found then return nil, "Duplicate `model` in the body. Send it once." end
      if c ~= QUOTE then return nil, "`model` is not a string. Send the name of a model." end
      if last - i - 1 > LONGEST_MODEL then return nil, "`model` is longer than " .. LONGEST_MODEL .. " bytes." end
      found = true
      -- Some encoders write / as \/. Any other escape has no place in a model's name.
      model = string.gsub(sub(written, i + 1, last - 1), "\\/", "/")
    elseif name == "cache_salt" then
      if salt then return nil, "Duplicate `cache_salt` in the body. Send it once." end
      salt = { first = i, last = last }
    elseif name == "priority" and not priority_from_header then
      return nil, "`priority` is not supported on this route. Remove it."
    elseif STEERING_FIELDS[name] then
      return nil, "`" .. name .. "` is not supported here. Remove it."
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
  return model, nil, salt
end

local function names_in(payload, claim)
  return string.match(payload, '"' .. claim .. '":(%b[])') or ""
end

-- Names consist of letters, digits and -._:/@, so a quoted name matches only a whole member of the list.
local function holds(payload, claim, model)
  return find(names_in(payload, claim), '"' .. model .. '"', 1, true) ~= nil
end

-- The models of the token, in a list that OpenAI's and Anthropic's clients read; below the path of the list, the one with this name.
core.register_action("mintmark_list", { "http-req" }, function(txn)
  local payload = txn:get_var("txn.payload") or ""
  local asked = string.match(txn.sf:path(), "^/v1/models/(.*)$")
  if asked then
    asked = string.gsub(asked, "%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  end
  local entries = {}
  local function add(claim, owner)
    for name in string.gmatch(names_in(payload, claim), '"([^"]+)"') do
      -- A proxy may have merged the slashes in front of a name that begins with one.
      local wanted = asked == nil or name == asked or name == "/" .. asked
      entries[#entries + 1] = wanted and string.format(
        '{"id":"%s","object":"model","created":%s,"owned_by":"%s","type":"model","display_name":"%s","created_at":"1970-01-01T00:00:00Z"}',
        name, string.match(payload, '"iat":(%d+)') or "0", owner, name) or nil
    end
  end
  add("models", "mintmark")
  add("adapters", string.match(payload, '"tenant":"([^"]*)"') or "")
  if asked then
    if entries[1] then txn:set_var("txn.list", entries[1]) end
    return
  end
  txn:set_var("txn.list", '{"object":"list","data":[' .. table.concat(entries, ",") .. '],"has_more":false}')
end, 0)

core.register_action("mintmark_model", { "http-req" }, function(txn)
  local model, fault, salt = read_model(txn.sf:req_body() or "", ROUTES[txn.sf:path()])
  -- Only a gateway that changes the body could keep the caches of tenants apart.
  if salt then fault = "`cache_salt` is not supported here. Remove it." end
  if fault then
    txn:set_var("txn.fault", fault)
  elseif #model <= 96 and find(model, "^%.?%.?/?%w[-%w._:/@]*$") then
    local payload = txn:get_var("txn.payload") or ""
    if holds(payload, "models", model) or holds(payload, "adapters", model) then txn:set_var("txn.model", model) end
  end
end, 0)

-- Answers at once. HAProxy then reads the rest of the body and drops it: a client that is still sending would lose the response if its
-- connection was closed, and repeat the request.
local function refuse(applet, status, body, challenge)
  applet:set_status(status)
  applet:add_header("content-type", "application/json")
  applet:add_header("content-length", tostring(#body))
  if challenge then applet:add_header("www-authenticate", challenge) end
  applet:start_response()
  applet:send(body)
end

-- Ends a refused request with the first bytes that come after so many seconds: HAProxy itself would read on as long as some come.
local SECONDS = 10
local rest = { id = "mintmark_rest", flags = filter.FLT_CFG_FL_HTX }
rest.__index = rest

function rest:new()
  return setmetatable({}, rest)
end

-- A request that is not refused has its model by now, or no body.
function rest:http_headers(txn, message)
  if message.channel:is_resp() or txn:get_var("txn.model") then return end
  self.ends = core.now().sec + SECONDS
  filter.register_data_filter(self, message.channel)
end

function rest:http_payload(_, message)
  if core.now().sec <= self.ends then return end
  message:remove()
  message:set_eom()
end

core.register_filter("mintmark_rest", rest, function(each) return each end)

local UNAUTHORIZED = '{"type":"error","error":{"message":"Exchange your API key for a token and send that.","type":"authentication_error","code":"invalid_token","param":null}}'
core.register_service("mintmark_unauthorized", "http", function(applet)
  refuse(applet, 401, UNAUTHORIZED, 'Bearer realm="mintmark"')
end)

local TOO_LONG = '{"type":"error","error":{"message":"The body is longer than 4194304 bytes.","type":"invalid_request_error","code":"body_too_large","param":null}}'
core.register_service("mintmark_too_long", "http", function(applet) refuse(applet, 413, TOO_LONG) end)
