"""`python -m aloe.sandbox --port P`: the simulated model as a real server on 127.0.0.1, for tests and benchmarks."""

import argparse
import sys
from pathlib import Path

from aloe.sandbox.app import build_app
from aloe.sandbox.faults import read_faults
from aloe.sandbox.model import Knobs


def main() -> int:
    """Serve until interrupted; 2 for a fault file that cannot be used."""
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

    print(f"The simulated model answers at http://127.0.0.1:{arguments.port}/v1; Ctrl-C stops it.", flush=True)
    app = build_app(Knobs(), arguments.seed, arguments.latency, faults)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
