-- Sends POST requests. The environment variables are BODY (the file of the body), CONTENT_TYPE, and HEADERS (further
-- header lines). Prints the results as a line of JSON. `refused` is the number of responses with an error status, and
-- `broken` is the number of requests without a response.

wrk.method = "POST"
wrk.headers["content-type"] = os.getenv("CONTENT_TYPE")
for name, value in (os.getenv("HEADERS") or ""):gmatch("([^:\n]+): ([^\n]+)") do
    wrk.headers[name] = value
end
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.body = file:read("*a")
file:close()

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"rate": %f, "p50": %f, "p99": %f, "requests": %d, "refused": %d, "broken": %d}\n',
        summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1e6,
        latency:percentile(99) / 1e6,
        summary.requests,
        errors.status,
        errors.connect + errors.read + errors.write + errors.timeout
    ))
end
