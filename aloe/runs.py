"""The only place that knows `outputs/<run>/...`: where a run's files stand, and what is noted about it.

In: a preset and a seed. Out: a `Run` with a path for every file, its locks, `metrics.json` (merged section by
section) and `manifest.json` (parameters, families of models, seed, versions, git commit; per stage the hashes of what
was read and written). Everything is written whole or not at all. This module does not know what a stage computes.
"""

import dataclasses
import datetime
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aloe.errors import UserError
from aloe.families import families, self_judging
from aloe.locks import Lock
from aloe.params import ROOT, Params, load_params
from aloe.provenance import fingerprint, git_commit, versions
from aloe.writing import write_bytes, write_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

OUTPUTS = ROOT / "outputs"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run: its parameters, and the place of everything that it reads and leaves under `root`."""

    name: str
    params: Params
    root: Path
    opened: str = ""

    def command(self) -> str:
        """What a person types to go on with it."""
        return self.opened or f"make all PRESET={self.params.name}"

    @property
    def calibration(self) -> Path:
        """Similarities among the seeds, and the thresholds that they suggest."""
        return self.root / "personas" / "calibration.json"

    @property
    def profiles(self) -> Path:
        """The profiles that were drawn from the pool, one `{"id", "text"}` a line."""
        return self.root / "personas" / "profiles.jsonl"

    @property
    def personalities(self) -> Path:
        """The personalities that were drawn from the pool, one `{"id", "text"}` a line."""
        return self.root / "personas" / "personalities.jsonl"

    @property
    def personas(self) -> Path:
        """All pairings, one `records.Persona` a line; `split_of` tells training from development."""
        return self.root / "personas" / "personas.jsonl"

    @property
    def rejected_candidates(self) -> Path:
        """What the filter turned away, and why."""
        return self.root / "personas" / "rejected.jsonl"

    @property
    def growth(self) -> Path:
        """The size of the pool after every call of the persona writer."""
        return self.root / "personas" / "growth.csv"

    @property
    def pool_card(self) -> Path:
        """What the pool is like, in Markdown."""
        return self.root / "personas" / "pool_card.md"

    @property
    def trees(self) -> Path:
        """Preference dialogues of training and development personas, one `records.DialogueTree` a line."""
        return self.root / "trees" / "trees.jsonl"

    def model(self, name: str) -> Path:
        """The folder of a policy's weights: base, sft_preferred, sft_rejected or dpo."""
        return self.root / "models" / name

    def unfinished(self, name: str) -> Path:
        """What a training of a policy leaves to go on from if it is interrupted; gone when it is done."""
        return self.root / "models" / ".unfinished" / name

    def trained(self, name: str) -> Path:
        """What a training by `aloe.train` followed from and wrote, so that a notebook can take it up."""
        return self.root / "models" / ".trained" / f"{name}.json"

    def training_log(self, name: str) -> Path:
        """Loss and the like per training step of a policy."""
        return self.root / "training" / f"{name}.csv"

    def tensorboard(self, name: str) -> Path:
        """The same live, for TensorBoard; no result of a stage."""
        return self.root / "tensorboard" / name

    def export(self, name: str) -> Path:
        """What a user takes away of a policy: weights in 16 bits, adapter, model card; no result of a stage."""
        return self.root / "export" / name

    @property
    def dataset(self) -> Path:
        """What a user takes away of the dialogues: Parquet files and a data card; no result of a stage."""
        return self.root / "dataset"

    @property
    def transcripts(self) -> Path:
        """The policies' conversations with the benchmark personas, one `records.Transcript` a line."""
        return self.root / "benchmark" / "transcripts.jsonl"

    @property
    def scores(self) -> Path:
        """One row per (policy, case, turn, judge), with the columns of `records.Judgement`."""
        return self.root / "benchmark" / "scores.parquet"

    @property
    def null_worlds(self) -> Path:
        """One row per effect and seed, with the columns of `worlds.World`; only where the preset repeats worlds."""
        return self.root / "benchmark" / "null_worlds.csv"

    @property
    def trained_worlds(self) -> Path:
        """One row per (effect, seed, simulator, case, turn, judge) of `trained_worlds`; only where there are any."""
        return self.root / "benchmark" / "trained_worlds.parquet"

    @property
    def probe(self) -> Path:
        """What probed policies answered, one `knowledge.Probed` a line; not there in a run that probes nobody."""
        return self.root / "benchmark" / "probe.jsonl"

    @property
    def knowledge(self) -> Path:
        """The same item by item, against what had been revealed: `knowledge.knowledge_table`."""
        return self.root / "benchmark" / "knowledge.parquet"

    @property
    def further_verdicts(self) -> Path:
        """What further judges said of stored replies (`further_judges`); only where there are any."""
        return self.root / "benchmark" / "further_verdicts.parquet"

    @property
    def notebooks(self) -> Path:
        """The folder of the executed notebooks."""
        return self.root / "notebooks"

    @property
    def figures(self) -> Path:
        """The folder of the figures, and of the data behind them."""
        return self.root / "figures"

    @property
    def report(self) -> Path:
        """The folder of the rendered report."""
        return self.root / "report"

    @property
    def journal(self) -> Path:
        """Every model reply that was paid for: the run's own file, or that of the run which the preset names.

        A run with a seed given uses that run's journal under the same seed.
        """
        owner = self.params.journal
        suffix = self.name.removeprefix(self.params.name)
        root = self.root if owner is None else self.root.with_name(f"{owner}{suffix}")
        return root / "journal" / "replies.sqlite"

    @property
    def manifest(self) -> Path:
        """Parameters, seed, versions, commit, and the hashes of every stage's inputs and outputs."""
        return self.root / "manifest.json"

    @property
    def metrics(self) -> Path:
        """The numbers that tests, the report's front page and the README read."""
        return self.root / "metrics.json"

    def stage_lock(self) -> Lock:
        """Held by the kernel that computes a stage, so that two never write into one run."""
        return Lock(self.root / ".stage.lock", f"A stage of run {self.name!r}")

    def run_lock(self) -> Lock:
        """Held by the process that drives the stages of a run."""
        return Lock(self.root / ".run.lock", f"Run {self.name!r}")

    def read_metrics(self) -> dict[str, Any]:
        """The content of `metrics.json`.

        Raises:
            UserError: it is missing or damaged.
        """
        if not self.metrics.is_file():
            raise UserError(f"{self.metrics} does not exist; run `{self.command()}` first.")
        return _read_json(self.metrics)

    def update_metrics(self, section: Mapping[str, Any]) -> None:
        """Merge a stage's keys into `metrics.json`: below each top-level key, given keys replace those that are there.

        `{"training": {"dpo": {...}}}` leaves `training.sft_preferred` as it is. NaN and infinity are a `ValueError`.
        """
        metrics = _read_json(self.metrics) if self.metrics.is_file() else {}
        head = {"preset": self.params.name, "simulated": self.params.simulated, "seed": self.params.seed}
        for key, value in {**head, **section}.items():
            old = metrics.get(key)
            metrics[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, Mapping) else value
        _write_json(self.metrics, metrics)

    def record_stage(self, stage: str, inputs: Sequence[Path], outputs: Sequence[Path], **facts: Any) -> None:
        """Note in the manifest that a stage is done: hashes of what it read and wrote, versions, commit, `facts`.

        Args:
            stage: the stage's name.
            inputs, outputs: files or folders that exist.
            facts: anything else that JSON can hold, such as `seconds=12.5`.
        """
        manifest = self.read_manifest()
        origin = {"git_commit": git_commit(ROOT), "versions": versions()}
        manifest |= {
            "run": self.name, "preset": self.params.name, "simulated": self.params.simulated,
            "seed": self.params.seed, "params": dataclasses.asdict(self.params), "families": families(self.params),
            "self_judging": self_judging(self.params), **origin,
        }  # fmt: skip
        finished = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        hashes = {"inputs": self._hashes(inputs), "outputs": self._hashes(outputs)}
        manifest.setdefault("stages", {})[stage] = {"finished": finished, **facts, **hashes, **origin}
        _write_json(self.manifest, manifest)

    def read_manifest(self) -> dict[str, Any]:
        """The content of `manifest.json`; empty before the first stage is done."""
        return _read_json(self.manifest) if self.manifest.is_file() else {}

    def save_figure(self, figure: "Figure", name: str, frame: "pd.DataFrame | None" = None) -> None:
        """Write `figures/<name>.svg` and `.png`, and `<name>.csv` with the data behind it.

        The same figure gives the same bytes on one machine: no date, no random ids.
        """
        import matplotlib

        with matplotlib.rc_context({"svg.hashsalt": "aloe"}):
            for suffix, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
                image = io.BytesIO()
                figure.savefig(image, format=suffix, metadata=metadata, bbox_inches="tight", dpi=150)
                write_bytes(self.figures / f"{name}.{suffix}", image.getvalue())
        if frame is not None:
            write_text(self.figures / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))

    def _hashes(self, paths: Sequence[Path]) -> dict[str, str]:
        return {self._short(path): fingerprint(path) for path in paths}

    def _short(self, path: Path) -> str:
        for base in (self.root, ROOT):
            if path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return path.name


def open_run(preset: str, seed: int | None = None, outputs: Path = OUTPUTS) -> Run:
    """The run of a preset: `outputs/<preset>`, or `outputs/<preset>-seed<N>` where a seed is given.

    Nothing is created before something is written.

    Raises:
        UserError: there is no such preset, or it is wrong.
    """
    params = load_params(preset, seed)
    name = params.name if seed is None else f"{params.name}-seed{params.seed}"
    return Run(name, params, outputs / name, command_of(preset, seed))


def command_of(preset: str, seed: int | None) -> str:
    """What a person types for the run of a preset and a seed.

    >>> command_of("sandbox", 1)
    'make all PRESET=sandbox SEED=1'
    """
    path = Path(preset)
    shown = path.relative_to(ROOT) if path.is_absolute() and path.is_relative_to(ROOT) else preset
    return f"make all PRESET={shown}" + ("" if seed is None else f" SEED={seed}")


def split_of(identifier: str) -> str:
    """The split that an id belongs to.

    >>> split_of("dev-p003-t002")
    'dev'
    """
    return identifier.split("-", 1)[0]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run `make all` again.") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is damaged (no JSON object); delete it and run `make all` again.")
    return data


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
