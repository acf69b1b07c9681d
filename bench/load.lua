-- What wrk sends. Arguments: the file of Authorization values, one a line, or "-" for a GET of the URL; and what they
-- go with: "exchange", a POST to the token endpoint, or "check", a GET as gateways send it. With "form" and "json" the file has
-- bodies of POSTs, which are sent in turn: some are accepted once.
-- Each request takes a line at random, so that access is uniform over the keys. The third argument is the number of
-- connections, and the fourth the milliseconds in which all are opened, before the first request is sent. Node accepts
-- one connection for each turn of its loop, so 64 that come with a request each wait for up to 64 * 65 / 2 answers: that is a
-- burst, and not what is measured.
-- It would also count many times: for each answer that took long, wrk adds those that a client would have waited for meanwhile
-- (coordinated omission).

local requests = {}
-- A global variable: done() runs in another state than the thread, and asks for it.
opening = 0
local threads = {}
local before, after
local waiting

local function askRandom()
  return before .. requests[math.random(#requests)] .. after
end

local turn = 0
local function askNext()
  turn = turn % #requests + 1
  return requests[turn]
end

local function waitOnce()
  if waiting == 0 then return 0 end
  waiting = waiting - 1
  return opening
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  math.randomseed(os.time())
  -- Without a function of ours wrk sends the same bytes each time, and is fastest.
  if args[1] == "-" then return end
  waiting, opening = tonumber(args[3]), tonumber(args[4])
  delay = waitOnce
  local types = { form = "application/x-www-form-urlencoded", json = "application/json" }
  if types[args[2]] then
    local headers = { ["Content-Type"] = types[args[2]] }
    for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("POST", nil, headers, line) end
    request = askNext
    return
  end
  local headers = { ["Authorization"] = "@" }
  local method, body = "GET", nil
  if args[2] == "exchange" then
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    method, body = "POST", "grant_type=client_credentials"
  end
  -- The tail of a request is the same for all: kept once, because there may be a million lines.
  before, after = wrk.format(method, nil, headers, body):match("^(.-Authorization: )@(.*)$")
  for line in io.lines(args[1]) do requests[#requests + 1] = line end
  request = askRandom
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "\n@{\"requests\":%d,\"seconds\":%.6f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"refused\":%d,\"broken\":%d}\n",
    summary.requests, (summary.duration - 1000 * threads[1]:get("opening")) / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
