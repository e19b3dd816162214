"""What a parent of workers starts in tests: says what a worker says, and serves nobody.

Run by itself, without the project: its assignment's settings say what it `does`.
"""

import json
import os
import signal
import sys


def main() -> None:
    """One worker."""
    assignment = json.loads(sys.stdin.buffer.readline())
    does = assignment["settings"]["does"]
    if does == "fail":
        say(said="failed", why="cannot serve: there is no model")
        sys.exit(1)
    if does == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    say(said="loaded")
    if sys.stdin.buffer.readline() != b"serve\n":
        os.kill(os.getpid(), signal.SIGTERM)
    say(said="ready", address=f"127.0.0.1:{assignment['port']}", model="models/m/versions/1.0.0")
    sys.stdin.buffer.read()
    if does == "stay":
        signal.pause()


def say(**words: str) -> None:
    """One line, in one piece."""
    os.write(1, json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    main()
