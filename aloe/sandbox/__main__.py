"""`python -m aloe.sandbox --port P`: the simulated model as a real server on 127.0.0.1, for tests and benchmarks."""

import argparse
import contextlib
import os
import socket
import sys
from pathlib import Path

from aloe.sandbox.app import build_app
from aloe.sandbox.faults import read_faults
from aloe.sandbox.model import Knobs


def main() -> int:
    """Serve until interrupted; 2 for a fault file or a port that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m aloe.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every answer takes at least")
    parser.add_argument("--faults", type=Path, help="YAML file with rates of planted faults")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        faults = read_faults(arguments.faults) if arguments.faults else None
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    import uvicorn

    app = build_app(Knobs(), arguments.seed, arguments.latency, faults)
    try:
        listening = socket.create_server(("127.0.0.1", arguments.port), backlog=2048)
    except OSError as error:
        print(
            f"Port {arguments.port} cannot be had ({os.strerror(error.errno or 0)}); choose another one.",
            file=sys.stderr,
        )
        return 2
    with listening:  # requests that come before the server is up wait for it
        print(f"The simulated model answers at http://127.0.0.1:{listening.getsockname()[1]}/v1; Ctrl-C stops it.",
              flush=True)  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
