-- What wrk sends. Arguments: the file of Authorization values, one a line, or "-" for a GET of the URL.
-- Each request takes a line at random, so that access is uniform over the keys.

local requests = {}
local before, after

local function postRandom()
  return before .. requests[math.random(#requests)] .. after
end

function init(args)
  math.randomseed(os.time())
  -- Without a function of ours wrk sends the same bytes each time, and is fastest.
  if args[1] == "-" then return end
  local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }
  -- The tail of a request is the same for all: kept once, because there may be a million lines.
  headers["Authorization"] = "@"
  before, after = wrk.format("POST", nil, headers, "grant_type=client_credentials"):match("^(.-Authorization: )@(.*)$")
  for line in io.lines(args[1]) do requests[#requests + 1] = line end
  request = postRandom
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "\n@{\"requests\":%d,\"seconds\":%.6f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"refused\":%d,\"broken\":%d}\n",
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
