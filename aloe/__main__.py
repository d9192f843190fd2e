"""`python -m aloe COMMAND`: what the Makefile calls.

Exit codes: 0 done; 1 a fault of this project (or of a notebook); 2 something that the user can mend, told in a
sentence; 130 Ctrl-C. This module holds no logic but the choice of a command.
"""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aloe.errors import UserError
from aloe.runs import Run, command_of, open_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if getattr(options, "seed", None) is not None:
            options.seed = _whole(options.seed)
        options.command(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        a_run = hasattr(options, "preset") and options.command not in (_export, _push, _dataset, _push_data)
        again = command_of(options.preset, options.seed) if a_run else "the same command"
        print(f"\nStopped. Nothing that was done or paid for is lost: `{again}` goes on from here.", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    from aloe.pipeline import run_all

    with _notebook_faults():
        run_all(_open(options), _preset(options), options.seed)


def _dry(options: argparse.Namespace) -> None:
    from aloe.dry import dry_run

    with _notebook_faults():
        dry_run(options.preset, options.seed)


def _figures(options: argparse.Namespace) -> None:
    from aloe.pipeline import redo_analysis

    with _notebook_faults():
        redo_analysis(_begun(options), _preset(options), options.seed)


@contextlib.contextmanager
def _notebook_faults() -> Iterator[None]:
    """End with exit code 1 where a notebook stopped with a fault of this project."""
    from aloe.execution import NotebookFailed

    try:
        yield
    except NotebookFailed as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _report(options: argparse.Namespace) -> None:
    from aloe.pipeline import outdated
    from aloe.rendering import build_report

    run = _begun(options)
    with run.run_lock():
        build_report(run)
    print(f"Report: {run.report / 'index.html'}")
    _print_note(outdated(run))


def _plan(options: argparse.Namespace) -> None:
    from aloe.params import load_params
    from aloe.plan import describe

    print(describe(load_params(options.preset, options.seed)))


def _table(options: argparse.Namespace) -> None:
    from aloe.headline import text_table
    from aloe.pipeline import outdated

    run = _open(options)
    print(text_table(run))
    _print_note(outdated(run))


def _compare(options: argparse.Namespace) -> None:
    from aloe.compare import compare
    from aloe.headline import note

    if not options.a or not options.b:
        raise UserError("Say which two runs: make compare A=outputs/x B=outputs/y")
    print(compare(Path(options.a), Path(options.b)))
    for folder in (options.a, options.b):
        _print_note(note(Path(folder)))


def _print_note(text: str | None) -> None:
    if text:
        print(f"\n{text}")


def _journal(options: argparse.Namespace) -> None:
    from aloe.journal import DURABILITY, Journal
    from aloe.prices import usd

    run = _open(options)
    if not run.journal.is_file() and not options.merge:
        raise UserError(f"{run.journal} does not exist: nothing has been asked in this run yet.")
    with Journal(run.journal) as journal:
        if options.merge:
            print(f"{journal.merge(Path(options.merge)):,} replies were taken over from {options.merge}")
        if options.export:
            print(f"{journal.export(Path(options.export)):,} replies were written to {options.export}")
        totals = journal.summary()
    print(f"{'role':18} {'model':20} {'calls':>8} {'prompt tokens':>14} {'reply tokens':>13} "
          f"{'cut off':>8} {'USD':>9}")  # fmt: skip
    for total in totals:
        paid = usd(total.endpoint, total.model, total.prompt_tokens, total.completion_tokens)
        money = "unknown" if paid is None or total.uncounted else f"{paid:.2f}"
        print(f"{total.role:18} {total.model:20} {total.calls:8,} {total.prompt_tokens:14,} "
              f"{total.completion_tokens:13,} {total.cut_off:8,} {money:>9}")  # fmt: skip
    print(DURABILITY)


def _export(options: argparse.Namespace) -> None:
    from aloe.export import export_policy

    run = _begun(options)
    with run.run_lock():
        folder = export_policy(run, options.policy, options.gguf)
    print(f"Exported: {folder}\nModel card: {folder / 'README.md'}")


def _push(options: argparse.Namespace) -> None:
    from aloe.export import exported
    from aloe.hub import push, read_token

    token = read_token(options.repo)  # before anything that takes long
    run = _begun(options)
    with run.run_lock():
        folder = exported(run, options.policy, options.gguf)
        print(f"Sending {folder} to {options.repo}", flush=True)
        print(f"Pushed: {push(folder, options.repo, token)}")


def _dataset(options: argparse.Namespace) -> None:
    from aloe.dataset import write_dataset

    run = _begun(options)
    with run.run_lock():
        folder = write_dataset(run)
    print(f"Data set: {folder}\nData card: {folder / 'README.md'}")


def _push_data(options: argparse.Namespace) -> None:
    from aloe.dataset import written
    from aloe.hub import DATASET, push, read_token

    token = read_token(options.repo, DATASET)
    run = _begun(options)
    with run.run_lock():
        folder = written(run)
        print(f"Sending {folder} to {options.repo}", flush=True)
        print(f"Pushed: {push(folder, options.repo, token, DATASET)}")


def _clean(options: argparse.Namespace) -> None:
    run = _open(options)
    if not run.root.is_dir():
        return
    with contextlib.ExitStack() as stack:
        for lock in (run.run_lock(), run.stage_lock()):  # waiting here would remove what another process has just made
            stack.callback(lock.acquire(wait=False).release)
        kept = {run.journal.parent.name} if not options.journal else set()
        for path in run.root.iterdir():
            if path.name in kept or path.name.endswith(".lock"):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    print(f"{run.root} is empty{' but for its journal' if kept else ''}.")


def _environment(_: argparse.Namespace) -> None:
    from aloe.environment import environment_yml

    print(environment_yml(), end="")


def _open(options: argparse.Namespace) -> Run:
    return open_run(_preset(options), options.seed)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"SEED should be a whole number, got {text!r}.") from None


def _begun(options: argparse.Namespace) -> Run:
    """The run, which stands there: what only reads one makes no folder for it.

    Raises:
        UserError: nothing has been run.
    """
    run = _open(options)
    if not run.root.is_dir():
        raise UserError(f"{run.root} does not exist; run `{run.command()}` first.")
    return run


def _preset(options: argparse.Namespace) -> str:
    """The preset as a notebook can find it: notebooks run in the repository's folder, not in the caller's."""
    path = Path(options.preset)
    return str(path.resolve()) if path.suffix in (".yaml", ".yml") and path.is_file() else options.preset


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m aloe", description="What the Makefile calls.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    for name, command, text in (
        ("run", _run, "run what is not up to date, build the report, print the table"),
        ("dry", _dry, "every stage at toy width, no network, no key: what is wrong shows before it costs"),
        ("figures", _figures, "the analysis and its figures again from saved results"),
        ("report", _report, "the report again from the executed notebooks"),
        ("plan", _plan, "what a run would do and cost"),
        ("table", _table, "the headline table of a finished run"),
        ("journal", _journal, "what was asked of models, and what was paid"),
        ("export", _export, "a trained policy to take away: weights in 16 bits, adapter, model card"),
        ("push", _push, "send an export to a model hub"),
        ("dataset", _dataset, "the dialogues as a data set: Parquet files and a data card"),
        ("push-data", _push_data, "send that data set to a model hub"),
        ("clean", _clean, "remove the outputs of a run, all but its journal"),
    ):
        added = add(name, command, text)
        added.add_argument("--preset", default="sandbox", help="a name from params/ or the path of a YAML file")
        added.add_argument("--seed", help="replaces the preset's seed")
        if command in (_export, _push):
            added.add_argument("--policy", default="dpo", help="which of the run's trained policies")
            added.add_argument("--gguf", help="also write the weights for llama.cpp, such as q4_k_m; needs a GPU")
        if command in (_push, _push_data):
            added.add_argument("--repo", default="", help="where to, as owner/name")
        if command is _clean:
            added.add_argument("--journal", action="store_true", help="remove the journal of model replies too")
        if command is _journal:
            added.add_argument("--merge", help="take over the replies of another journal file")
            added.add_argument("--export", help="write all replies to this file, as JSON lines")
    comparing = add("compare", _compare, "two finished runs side by side")
    comparing.add_argument("a", help="a run's folder, such as outputs/sandbox")
    comparing.add_argument("b", help="another one")
    add("environment", _environment, "print environment.yml, made from pyproject.toml and requirements.lock")
    return parser


if __name__ == "__main__":
    sys.exit(main())
