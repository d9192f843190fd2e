"""The finished runs of a preset side by side, seed by seed: what one seed's intervals do not say.

In: a preset of which several seeds have been run (`make all SEED=1`). Out: a row per policy and seed with the figures
of its `metrics.json`, one with their mean and standard deviation; on stdout and in `outputs/bench/seeds.csv`.
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

FIGURES = {"al_mean": "level", "ir": "IR", "slope_4_10": "slope 4 to 10"}


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
    """A row per policy and seed, and per policy one for all; figures as text, with interval or deviation."""
    rows = []
    policies = dict.fromkeys(name for metrics in found.values() for name in metrics["benchmark"]["policies"])
    for policy in policies:
        own = {seed: found[seed]["benchmark"]["policies"][policy] for seed in sorted(found)
               if policy in found[seed]["benchmark"]["policies"]}  # fmt: skip
        for seed, figures in own.items():
            ends = {key: figures[f"{key}_ci"] for key in FIGURES}
            rows.append((policy, str(seed), *(f"{figures[key]:.3f} [{ends[key][0]:.3f}, {ends[key][1]:.3f}]"
                                              for key in FIGURES)))  # fmt: skip
        values = pd.DataFrame(own).T[list(FIGURES)].astype(float)
        rows.append((policy, f"mean of {len(own)} (SD)",
                     *(f"{values[key].mean():.3f} ({values[key].std():.3f})" for key in FIGURES)))  # fmt: skip
    return pd.DataFrame(rows, columns=["policy", "seed", *FIGURES.values()])


if __name__ == "__main__":
    sys.exit(main())
