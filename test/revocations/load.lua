-- What wrk sends: chat requests with a random token of a file, one a line. Arguments: the file; after how many responses to
-- stop, 0: never; the pause of a connection between two requests, in milliseconds. Counts the responses by status.

local requests = {}
local before, after, limit, pause
local answered = 0
local threads = {}
statuses = {}

function setup(thread) threads[#threads + 1] = thread end

function init(args)
  math.randomseed(os.time())
  local headers = { ["Authorization"] = "Bearer @", ["Content-Type"] = "application/json" }
  local body = '{"model":"llama-3-8b","messages":[{"role":"user","content":"Hello"}]}'
  before, after = wrk.format("POST", "/v1/chat/completions", headers, body):match("^(.-Authorization: Bearer )@(.*)$")
  for line in io.lines(args[1]) do requests[#requests + 1] = line end
  limit, pause = tonumber(args[2]), tonumber(args[3])
  if pause > 0 then delay = function() return pause end end
end

function request() return before .. requests[math.random(#requests)] .. after end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
  answered = answered + 1
  if answered == limit then
    wrk.thread:stop()
    -- wrk itself waits for the end of its time, unless it is interrupted.
    io.write("\n!\n")
    io.flush()
  end
end

function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      counts[#counts + 1] = string.format("\"%d\":%d", status, count)
    end
  end
  local errors = summary.errors
  io.write(string.format(
    "\n@{\"statuses\":{%s},\"broken\":%d,\"p50Ms\":%.3f,\"p99Ms\":%.3f}\n", table.concat(counts, ","),
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
