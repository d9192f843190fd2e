"""The finished runs of a preset side by side, seed by seed: what one seed's intervals do not say.

In: a preset of which several seeds have been run (`make all SEED=1`). Out: a row per policy or difference and seed with
the figures of its `metrics.json`, one with their mean and standard deviation; on stdout and in
`outputs/bench/seeds.csv`.
All seeds meet the same benchmark personas, so the deviation is that of data, training and replies. Nothing is run.
"""

import argparse
import json
import sys
from typing import Any

import pandas as pd

from aloe.params import load_params
from aloe.runs import OUTPUTS
from aloe.writing import write_text

FIGURES = {"al_mean": "level", "dal": "dAL", "ir": "IR", "slope_4_10": "slope 4 to 10"}


def main() -> int:
    """Read, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="sandbox")
    name = load_params(parser.parse_args().preset).name
    found = {}
    for path in [*OUTPUTS.glob(f"{name}/metrics.json"), *OUTPUTS.glob(f"{name}-seed*/metrics.json")]:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if metrics.get("benchmark"):
            found[metrics["seed"]] = metrics
    if len(found) < 2:
        print(f"fewer than two seeds of {name} are finished; run `make all PRESET={name} SEED=1`", file=sys.stderr)
        return 2
    table = seeds(found)
    write_text(OUTPUTS / "bench" / "seeds.csv", table.to_csv(index=False, lineterminator="\n"))
    print(table.to_string(index=False))
    return 0


def seeds(found: dict[int, dict[str, Any]]) -> pd.DataFrame:
    """A row per policy (or two on the same people, one less the other) and seed, and one for all its seeds.

    Figures are text, with the interval or the deviation; empty where a run has not measured them.
    """
    rows = []
    for part in ("policies", "differences"):
        measured = {seed: metrics["benchmark"].get(part, {}) for seed, metrics in sorted(found.items())}
        for name in dict.fromkeys(name for own in measured.values() for name in own):
            own = {seed: entries[name] for seed, entries in measured.items() if name in entries}
            rows += [(name, str(seed), *(_shown(entry, key) for key in FIGURES)) for seed, entry in own.items()]
            if len(own) < 2:
                continue
            values = pd.DataFrame([{key: entry.get(key) for key in FIGURES} for entry in own.values()], dtype=float)
            rows.append((name, f"mean of {len(own)} (SD)", *(_mean(values[key]) for key in FIGURES)))
    return pd.DataFrame(rows, columns=["policy", "seed", *FIGURES.values()])


def _shown(entry: dict[str, Any], key: str) -> str:
    low, high = entry.get(f"{key}_ci") or (None, None)
    return "" if entry.get(key) is None or low is None else f"{entry[key]:.3f} [{low:.3f}, {high:.3f}]"


def _mean(values: "pd.Series[float]") -> str:
    return "" if values.isna().any() else f"{values.mean():.3f} ({values.std():.3f})"


if __name__ == "__main__":
    sys.exit(main())
