"""Sends five times as many requests as the server can handle, and checks that the accepted requests stay fast."""

import asyncio
import random
import time

import harness
from harness import HOST, PATIENCE, SLOW_ROW, THREADS, ms, percentile, wrk

OVERLOAD = 5
# Number of requests that are sent at once at the beginning. It exceeds the maximum number of predictions in flight, so
# there is an overload on every machine, even on a fast one.
BURST = 400
# Time between two probes, and maximum duration of a probe, in seconds.
PROBE_SECONDS = 0.05
PROBE_WITHIN = 0.25


class Client(asyncio.Protocol):
    """A connection with one request at a time. Calls `report` for each response, with the status, with whether the
    response has a Retry-After, and with the time since the request was due."""

    def __init__(self, idle, report):
        self.idle, self.report = idle, report
        self.due = None
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport

    def send(self, due):
        self.due = due
        self.transport.write(REQUEST)

    def data_received(self, data):
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        head = head.lower()
        if not found or len(body) < int(head.split(b"content-length: ")[1].split(b"\r\n")[0]):
            return
        self.received = b""
        self.report(int(head.split()[1]), b"\r\nretry-after: " in head, time.monotonic() - self.due)
        self.due = None
        if b"\r\nconnection: close" not in head:
            self.idle.append(self)

    def connection_lost(self, _):
        if self in self.idle:
            self.idle.remove(self)
        if self.due is not None:
            self.report(0, False, time.monotonic() - self.due)


# With four rows of the slow model, the server needs much more processor time for a request than the client.
ROWS = [SLOW_ROW] * 4
REQUEST = harness.request("POST", "/predict", harness.as_json(ROWS))


async def offer(port, rate, seconds):
    """Sends `rate` requests per second at random moments, without waiting for responses.

    Returns a list of responses, the number of requests, and the delay of the last request. A response is a tuple: its
    time, its status, whether it has a Retry-After, and the time since its request was due.
    """
    loop, idle, responses, pending = asyncio.get_running_loop(), [], [], set()
    moments = random.Random(0)
    start = due = time.monotonic()

    async def send(due):
        if idle:
            client = idle.pop()
        else:
            report = lambda *result: responses.append((time.monotonic() - start, *result))
            try:
                _, client = await loop.create_connection(lambda: Client(idle, report), HOST, port)
            except OSError:
                return responses.append((due - start, 0, False, 0))
        client.send(due)

    sent = 0
    while (due := due + (moments.expovariate(rate) if sent >= BURST else 0)) < start + seconds:
        await asyncio.sleep(due - time.monotonic())
        task = asyncio.create_task(send(due))
        pending.add(task)
        task.add_done_callback(pending.discard)
        sent += 1
    late = time.monotonic() - due
    deadline = time.monotonic() + 2 * PATIENCE
    while len(responses) < sent and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return responses, sent, late


def probe(server, latencies):
    """Returns a function for `in_background` that probes liveness and readiness, as Kubernetes does."""

    def run(stop):
        while not stop.wait(PROBE_SECONDS):
            for path in ("/healthz", "/readyz"):
                start = time.monotonic()
                status = server.send("GET", path).status
                latencies.append((time.monotonic() - start, status))

    return run


def test_overload(serve, slow_model, figure, speed_figure, is_long):
    seconds = 60 if is_long else 12
    # In the first seconds, the queue is still first in, first out, and requests wait for the whole queue. These seconds
    # are not measured.
    settling = 4
    server = serve(model=slow_model)
    # With as many connections as threads, the server is busy, but not overloaded.
    at_ease = wrk(server, seconds // 3, THREADS, ROWS)
    peak = max(at_ease["rate"], wrk(server, seconds // 3, 2 * THREADS, ROWS)["rate"])
    health = []
    with harness.in_background(probe(server, health)):
        responses, sent, late = asyncio.run(offer(server.port, OVERLOAD * peak, settling + seconds))
    measured = [response for response in responses if settling <= response[0] < settling + seconds]
    times = [took for _, status, _, took in measured if status == 200]
    rejected = [took for _, status, retry, took in responses if status == 503 and retry]
    other = [status for _, status, retry, _ in responses if status != 200 and not (status == 503 and retry)]
    rate = len(times) / seconds
    slowest = max(took for took, _ in health)
    print(
        f"\nat ease: p50 {ms(at_ease['p50'])}, p99 {ms(at_ease['p99'])}, peak {peak:.0f}/s; "
        f"{sent} sent, {len(rejected)} rejected, the last {ms(late)} late"
    )
    assert len(responses) == sent, f"expected {sent} responses, found {len(responses)}"
    assert not is_long or late < 0.5, "the load generator sends its requests too late"
    assert rejected, "the server was not overloaded"
    assert server.metric("ml_app_rejected_total", reason="overload") > 0
    assert health
    p99 = percentile(times, 99) if times else float("inf")
    speed_figure(
        f"successful at {OVERLOAD}x the capacity",
        f"{rate / peak:.2f} of {peak:.0f}/s",
        ">= 0.9",
        rate >= 0.9 * peak,
    )
    speed_figure(
        "  their p99 / p99 without overload",
        f"{p99 / at_ease['p99']:.1f} ({ms(p99)}, {ms(at_ease['p99'])})",
        "<= 3",
        p99 <= 3 * at_ease["p99"],
    )
    figure("  other than 200, or 503 with Retry-After", f"{len(other)} of {sent}", "0", not other)
    failed = sum(status != 200 for _, status in health)
    figure("  failed probes of /healthz and /readyz", f"{failed} of {len(health)}", "0", failed == 0)
    speed_figure("  slowest probe", ms(slowest), f"<= {ms(PROBE_WITHIN)}", slowest <= PROBE_WITHIN)
    gauges = ("ml_app_inferences_in_flight", "ml_app_inferences_queued")
    idle = harness.eventually(lambda: not any(server.metric(gauge) for gauge in gauges))
    figure("  in flight and queued afterwards", "0" if idle else "more", "0", idle)
