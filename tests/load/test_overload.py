"""Five times as much as the server can: what it answers, it answers as fast as ever."""

import asyncio
import random
import time

import harness
from harness import HEAVY_ROW, HOST, PATIENCE, THREADS, ms, percentile, wrk

OVERLOAD = 5
# Requests at the very beginning. They are more than the server accepts at once, and take longer than it queues
# them, so that there is an overload however fast the machine is.
BURST = 400
PROBE_SECONDS = 0.05
PROBE_WITHIN = 0.25


class Client(asyncio.Protocol):
    """A connection that asks one question at a time; `took` learns what came of it."""

    def __init__(self, idle, took):
        self.idle, self.took = idle, took
        self.due = None
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, due):
        self.due = due
        self.transport.write(QUESTION)

    def data_received(self, data):
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        head = head.lower()
        if not found or len(body) < int(head.split(b"content-length: ")[1].split(b"\r\n")[0]):
            return
        self.received = b""
        self.took(int(head.split()[1]), b"\r\nretry-after: " in head, time.monotonic() - self.due)
        self.due = None
        if b"\r\nconnection: close" not in head:
            self.idle.append(self)

    def connection_lost(self, _):
        if self in self.idle:
            self.idle.remove(self)
        if self.due is not None:
            self.took(0, False, time.monotonic() - self.due)


# Long enough that those who ask take little of the processor.
ROWS = [HEAVY_ROW] * 4
QUESTION = harness.request("POST", "/predict", harness.as_json(ROWS))


async def offer(port, rate, seconds):
    """Asks at random moments, `rate` times a second, whatever comes back: (moment, status, may retry,
    time from when it was due) of each."""
    loop, idle, answers, pending = asyncio.get_running_loop(), [], [], set()
    moments = random.Random(0)
    start = due = time.monotonic()

    async def ask(due):
        if idle:
            client = idle.pop()
        else:
            taken = lambda *answer: answers.append((time.monotonic() - start, *answer))
            try:
                _, client = await loop.create_connection(lambda: Client(idle, taken), HOST, port)
            except OSError:
                return answers.append((due - start, 0, False, 0))
        client.ask(due)

    asked = 0
    while (due := due + (moments.expovariate(rate) if asked >= BURST else 0)) < start + seconds:
        await asyncio.sleep(due - time.monotonic())
        task = asyncio.create_task(ask(due))
        pending.add(task)
        task.add_done_callback(pending.discard)
        asked += 1
    late = time.monotonic() - due
    deadline = time.monotonic() + 2 * PATIENCE
    while len(answers) < asked and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return answers, asked, late


def probe(server, latencies):
    """Asks for the health now and then, as an orchestrator does."""

    def run(stop):
        while not stop.wait(PROBE_SECONDS):
            for path in ("/healthz", "/readyz"):
                start = time.monotonic()
                status = server.send("GET", path).status
                latencies.append((time.monotonic() - start, status))

    return run


def test_overload(serve, heavy, figure, speed_figure, is_long):
    seconds = 60 if is_long else 12
    # Until the limit is hit requests are answered in their order, and wait as long as the queue is.
    settling = 4
    server = serve(model=heavy)
    # What is offered at once is what can be worked on at once: this is a server at ease.
    at_ease = wrk(server, seconds // 3, THREADS, ROWS)
    peak = max(at_ease["rate"], wrk(server, seconds // 3, 2 * THREADS, ROWS)["rate"])
    health = []
    with harness.meanwhile(probe(server, health)):
        answers, asked, late = asyncio.run(offer(server.port, OVERLOAD * peak, settling + seconds))
    measured = [answer for answer in answers if settling <= answer[0] < settling + seconds]
    times = [took for _, status, _, took in measured if status == 200]
    refused = [took for _, status, retry, took in answers if status == 503 and retry]
    other = [status for _, status, retry, _ in answers if status != 200 and not (status == 503 and retry)]
    rate = len(times) / seconds
    slowest = max(took for took, _ in health)
    print(
        f"\nat ease: p50 {ms(at_ease['p50'])}, p99 {ms(at_ease['p99'])}, peak {peak:.0f}/s; "
        f"{asked} asked, {len(refused)} refused, the last {ms(late)} late"
    )
    assert len(answers) == asked, f"{asked} requests, but {len(answers)} answers"
    assert not is_long or late < 0.5, "the generator is slower than it should be"
    assert refused, "that was no overload"
    assert health
    p99 = percentile(times, 99) if times else float("inf")
    speed_figure(
        f"answered at {OVERLOAD}x the capacity",
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
    figure("  all others 503 with Retry-After", f"{len(other)} not, of {asked}", "0", not other)
    failed = sum(status != 200 for _, status in health)
    figure("  failed /healthz, /readyz meanwhile", f"{failed} of {len(health)}", "0", failed == 0)
    speed_figure("  the slowest of these", ms(slowest), f"<= {ms(PROBE_WITHIN)}", slowest <= PROBE_WITHIN)
    gauges = ("ml_app_inferences_in_flight", "ml_app_inferences_queued")
    idle = harness.becomes(lambda: not any(server.metric(gauge) for gauge in gauges))
    figure("  in flight and queued afterwards", "0" if idle else "more", "0", idle)
