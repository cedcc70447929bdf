"""Five times the load that the server can handle: it stays as fast for the requests that it accepts."""

import asyncio
import random
import time

import harness
from harness import HOST, PATIENCE, SLOW_ROW, THREADS, ms, percentile, wrk

OVERLOAD = 5
# Requests at the very beginning. They are more than the server accepts at once, and take longer than it queues
# them, so that there is an overload however fast the machine is.
BURST = 400
PROBE_SECONDS = 0.05
PROBE_WITHIN = 0.25


class Client(asyncio.Protocol):
    """A connection with one request at a time. `report` is called with status, whether there is a Retry-After, and
    the time since the request was due."""

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


# Large enough that the clients take little processor time in comparison.
ROWS = [SLOW_ROW] * 4
REQUEST = harness.request("POST", "/predict", harness.as_json(ROWS))


async def offer(port, rate, seconds):
    """Sends `rate` requests per second at random moments, without waiting for responses.

    Returns the moment, the status, whether there is a Retry-After, and the time since the request was due, for each
    response; the number of requests; and the delay of the last request.
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
    """Probes liveness and readiness, as an orchestrator does."""

    def run(stop):
        while not stop.wait(PROBE_SECONDS):
            for path in ("/healthz", "/readyz"):
                start = time.monotonic()
                status = server.send("GET", path).status
                latencies.append((time.monotonic() - start, status))

    return run


def test_overload(serve, slow_model, figure, speed_figure, is_long):
    seconds = 60 if is_long else 12
    # Until the limit is reached, requests run in order and wait as long as the queue is.
    settling = 4
    server = serve(model=slow_model)
    # As many connections as threads: the server is busy, but not overloaded.
    at_ease = wrk(server, seconds // 3, THREADS, ROWS)
    peak = max(at_ease["rate"], wrk(server, seconds // 3, 2 * THREADS, ROWS)["rate"])
    health = []
    with harness.in_background(probe(server, health)):
        responses, sent, late = asyncio.run(offer(server.port, OVERLOAD * peak, settling + seconds))
    measured = [response for response in responses if settling <= response[0] < settling + seconds]
    times = [took for _, status, _, took in measured if status == 200]
    refused = [took for _, status, retry, took in responses if status == 503 and retry]
    other = [status for _, status, retry, _ in responses if status != 200 and not (status == 503 and retry)]
    rate = len(times) / seconds
    slowest = max(took for took, _ in health)
    print(
        f"\nat ease: p50 {ms(at_ease['p50'])}, p99 {ms(at_ease['p99'])}, peak {peak:.0f}/s; "
        f"{sent} sent, {len(refused)} refused, the last {ms(late)} late"
    )
    assert len(responses) == sent, f"expected {sent} responses, found {len(responses)}"
    assert not is_long or late < 0.5, "the generator is slower than it should be"
    assert refused, "the server was not overloaded"
    assert health
    p99 = percentile(times, 99) if times else float("inf")
    speed_figure(
        f"successful at {OVERLOAD}x the capacity",
        f"{rate / peak:.2f} of {peak:.0f}/s",
        ">= 0.9",
        rate >= 0.9 * peak,
    )
    speed_figure(
        "  p99 of these to p99 at ease",
        f"{p99 / at_ease['p99']:.1f} ({ms(p99)}, {ms(at_ease['p99'])})",
        "<= 3",
        p99 <= 3 * at_ease["p99"],
    )
    figure("  all others 503 with Retry-After", f"{len(other)} not, of {sent}", "0", not other)
    failed = sum(status != 200 for _, status in health)
    figure("  failed /healthz, /readyz meanwhile", f"{failed} of {len(health)}", "0", failed == 0)
    speed_figure("  the slowest of these", ms(slowest), f"<= {ms(PROBE_WITHIN)}", slowest <= PROBE_WITHIN)
    gauges = ("ml_app_inferences_in_flight", "ml_app_inferences_queued")
    idle = harness.eventually(lambda: not any(server.metric(gauge) for gauge in gauges))
    figure("  in flight and queued afterwards", "0" if idle else "more", "0", idle)
