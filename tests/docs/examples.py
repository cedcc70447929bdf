"""Runs the curl commands of the documentation against a server, and compares their output with the page.

    examples.py BINARY PAGE...

Each command, followed by its output, is in a code block of the language `console`. The commands use the default model on
port 5000. Exits with 1 if an output differs.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BLOCK = re.compile(r"^```console\n\$ (curl .*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:.*\\\n)*.*\n")
VISITORS = "age,new_user,total_pages_visited\n21,1,14\n45,0,5\n"


def main(binary: str, pages: list[str]) -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([binary], env={**os.environ, "ML_APP_HOST": "127.0.0.1", "PORT": str(port)})
    try:
        wait_until_ready(server, port)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "visitors.csv").write_text(VISITORS)
            failures = [page for page in pages for block in blocks(page) if not agrees(page, block, port, folder)]
    finally:
        server.kill()
        server.wait()
    return 1 if failures else 0


def wait_until_ready(server: subprocess.Popen, port: int) -> None:
    while server.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
    sys.exit("the server ended before it was ready")


def blocks(page: str) -> list[str]:
    found = BLOCK.findall(Path(page).read_text())
    return found or sys.exit(f"{page}: expected an example, found none")


def agrees(page: str, block: str, port: int, folder: str) -> bool:
    command = COMMAND.match(block).group()
    expected = block[len(command) :].strip()
    command = command.strip().replace("localhost:5000", f"127.0.0.1:{port}")
    run = subprocess.run(f"{command} --silent --show-error", shell=True, cwd=folder, capture_output=True, text=True)
    found = run.stdout.strip()
    if found == expected:
        print(f"ok: {page}: {command.splitlines()[0]}")
        return True
    print(f"{page}: {command}\n  expected {expected}\n  found    {found or run.stderr}")
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
