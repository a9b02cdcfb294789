-- wrk's load: requests from a file of "METHOD PATH" lines, taken in turn, each thread from a place of its own. The environment
-- names it (BENCH_REQUESTS), the Host header (BENCH_HOST) and the size of a PUT's body (BENCH_BODY, bytes).
local threads = 0
function setup(thread)
    thread:set("id", threads)
    threads = threads + 1
end

-- Requests are made once: to put 32 MiB together anew would take longer than to send them.
local requests, at = {}, 0
function init(args)
    local body = string.rep("arca-bench-body.", math.ceil(tonumber(os.getenv("BENCH_BODY")) / 16))
    body = body:sub(1, tonumber(os.getenv("BENCH_BODY")))
    wrk.headers["Host"] = os.getenv("BENCH_HOST")
    for line in io.lines(os.getenv("BENCH_REQUESTS")) do
        local method, path = line:match("^(%S+) (%S+)$")
        requests[#requests + 1] = wrk.format(method, path, nil, method == "PUT" and body or nil)
    end
    at = id * 7919
end

function request()
    at = at + 1
    return requests[at % #requests + 1]
end

-- No response(): wrk would keep every body for it. Statuses above 399 are counted by wrk itself.
function done(summary, latency)
    io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
        latency:percentile(50), latency:percentile(99),
        summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
