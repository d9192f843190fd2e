"""Is nothing found where nothing is? Worlds in which the judges ignore the persona, beside worlds in which they do not.

In: a number of seeds. Out: `outputs/bench/null_worlds.csv` (a row per effect and seed) and `null_worlds.md`; exits with
1 if a target is missed, and goes on where it stopped. The worlds are those of `aloe.worlds`, with the sizes of the
preset `evidence`, which makes the same ones in its benchmark's notebook; here they are made without the rest of a run.
"""

import argparse
import sys
from typing import Any

from aloe.evidence import ALPHA, LEAST_TRUE, MOST_FALSE, QUESTIONS, world_entries
from aloe.params import load_params
from aloe.runs import OUTPUTS
from aloe.worlds import measure
from aloe.writing import write_text

OUT = OUTPUTS / "bench" / "null_worlds.csv"


def main() -> int:
    """Measure what the file lacks, write the table, compare with the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, help="instead of the preset's")
    options = parser.parse_args()
    params = load_params("evidence")
    section = params.evidence.null_worlds
    assert section, "the preset `evidence` repeats worlds"
    wanted = [(effect, seed) for seed in range(options.seeds or section.n_seeds) for effect in section.effects]
    entries = world_entries(measure(params, section.tree_turns, wanted, OUT))
    text = report(entries, params.benchmark.n_profiles, params.benchmark.n_turns, section.tree_turns)
    write_text(OUT.with_suffix(".md"), text)
    print(text)
    return 0 if all(entry["met"] is not False for entry in entries) else 1


def report(entries: list[dict[str, Any]], n_people: int, n_turns: int, tree_turns: int) -> str:
    """The Markdown table."""
    lines = [
        f"Worlds of {n_people} held-out personas (one per profile), {n_turns} turns with the simulated responder as "
        f"policy, and preference dialogues of {tree_turns} turns; simulator and judges with a seed of their own in "
        f"each. Tests: t on profiles, three a world, corrected by Holm at {ALPHA:g}. Targets: at most {MOST_FALSE:.0%} "
        f"of worlds without an effect call any of the three significant, at least {LEAST_TRUE:.0%} of those with one.",
        "",
        "| effect | worlds | AVG | dAL | slope of dAL | hinted less plain preferred | dAL found | slope found | "
        "preference found | any found | target met |",
        "|---|" + "---:|" * 9 + "---|",
    ]  # fmt: skip
    for own in entries:
        means = " | ".join(f"{own[name]:.3f}" for name in ("al", *QUESTIONS))
        found = " | ".join(str(n) for n in own["found"].values())
        met = {None: "no target", True: "yes", False: "**no**"}[own["met"]]
        lines.append(f"| {own['effect']:g} | {own['worlds']} | {means} | {found} | {met} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
