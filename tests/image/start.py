"""Measures the time from `podman run` to the first response with status 200, for several images in turns.

    start.py RUNS PORT PATH IMAGE... -- COMMAND... -- OPTION...

COMMAND runs podman. Each OPTION is passed to `podman run`. Prints a line for each IMAGE, in the order of the arguments:
the median and the minimum, in milliseconds.
"""

import socket
import statistics
import subprocess
import sys
import time

NAME = "ml-app-start"
# Maximum duration of an attempt in seconds. As long as there is no server, an attempt usually fails at once.
ATTEMPT = 1
# Maximum duration of a start in seconds.
LIMIT = 60


def is_served(port, request):
    """Returns whether a request gets status 200 now."""
    with socket.socket() as client:
        client.settimeout(ATTEMPT)
        try:
            client.connect(("127.0.0.1", port))
            client.sendall(request)
            return client.recv(4096).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False


def start(podman, options, port, request, image):
    """Returns the milliseconds from `podman run` to the first 200."""
    command = [*podman, "run", "--detach", "--name", NAME, *options, image]
    begin = time.perf_counter()
    engine = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not is_served(port, request):
            if time.perf_counter() - begin > LIMIT:
                sys.exit(f"{image}: expected 200 within {LIMIT} s of `podman run`")
            if engine.poll() not in (None, 0):
                sys.exit(f"{image}: `podman run` failed")
            time.sleep(0.0002)
        return (time.perf_counter() - begin) * 1000
    finally:
        engine.wait()
        remove = [*podman, "rm", "--force", "--time", "0", NAME]
        subprocess.run(remove, check=True, stdout=subprocess.DEVNULL)


def main():
    arguments, podman, options = [], [], []
    parts = iter((arguments, podman, options))
    part = next(parts)
    for argument in sys.argv[1:]:
        if argument == "--":
            part = next(parts)
        else:
            part.append(argument)
    runs, port, path, *images = arguments
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode()
    times = {image: [] for image in images}
    for run in range(int(runs)):
        # Reverses the order in every second run, so that no image always runs after the same other image.
        for image in images if run % 2 else reversed(images):
            times[image].append(start(podman, options, int(port), request, image))
    for image in images:
        print(f"{statistics.median(times[image]):.1f} {min(times[image]):.1f}")


main()
