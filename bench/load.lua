-- What wrk sends. Arguments: the file of Authorization values, one a line, or "-" for a GET of the URL.
-- Each request takes a line at random, so that access is uniform over the keys.

local requests = {}

function init(args)
  math.randomseed(os.time())
  if args[1] == "-" then
    requests[1] = wrk.format("GET")
    return
  end
  local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }
  -- The tail of a request is the same for all: kept once, because there may be a million lines.
  headers["Authorization"] = "@"
  local before, after = wrk.format("POST", nil, headers, "grant_type=client_credentials"):match("^(.-Authorization: )@(.*)$")
  wrk.before, wrk.after = before, after
  for line in io.lines(args[1]) do requests[#requests + 1] = line end
end

function request()
  local line = requests[math.random(#requests)]
  return wrk.before and wrk.before .. line .. wrk.after or line
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "\n@{\"requests\":%d,\"seconds\":%.6f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"refused\":%d,\"broken\":%d}\n",
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
