-- Posts the variable BODY, and writes what came of it as a line of JSON.

wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = os.getenv("BODY")

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
