"""`python -m aloe.train STAGE --preset NAME`: the trainings of a stage, by as many processes as were started with it.

Every process runs this, by `accelerate launch ... -m aloe.train` or `torchrun ... -m aloe.train`; alone it trains as a
notebook does. The first of them writes policies, tables and records, and speaks; of those that fail the first tells.
The stage's notebook takes up what was trained. Exit codes are those of `python -m aloe`. A notebook that starts the
processes itself hands over one job instead of a stage (`--handed FOLDER`) and holds the run's lock already.
"""

import argparse
import contextlib
import datetime
import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from aloe import processes
from aloe.errors import UserError
from aloe.launching import BARS, JOB, Job, jobs, note, taken_up
from aloe.runs import open_run

WAIT = 1.5  # seconds that a process which has told what is wrong has to say it: with the first to end all are ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the trainings and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.stage or options.handed):
        parser.error("say which stage to train: sft or dpo")
    place = Path(options.handed) if options.handed else None
    with _voices(place) as errors:
        try:
            if place:
                _end_with_the_notebook()
                _train([pickle.loads((place / JOB).read_bytes())])
            else:
                _train_stage(options)
        except UserError as error:
            _tell(str(error), place, errors)
            return 2
        except KeyboardInterrupt:
            return 130
    return 0


def _train_stage(options: argparse.Namespace) -> None:
    """All trainings of a stage, under the run's lock; until its notebook has taken them up it counts as not done."""
    from aloe.pipeline import forget_stage
    from aloe.stages import STAGES

    run = open_run(options.preset, options.seed)
    with contextlib.ExitStack() as held:
        if processes.rank() == 0:
            held.enter_context(run.stage_lock().acquire(wait=False))
            forget_stage(next(stage for stage in STAGES if stage.name.endswith(f"_{options.stage}")), run)
        _train(jobs(run, options.stage))


def _train(wanted: Sequence[Job]) -> None:
    from aloe.checkpoints import has_cuda, import_backend
    from aloe.training import train_here

    import_backend(wanted[0].run.params.training.backend)
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    if not has_cuda():  # Accelerate would say cpu:0, a place from which torch restores no optimizer
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    together = PartialState(cpu=not has_cuda())  # each process on a device of its own, before memory is looked at
    for job in wanted:
        done = broadcast_object_list([together.is_main_process and taken_up(job) is not None])
        if done[0]:
            continue
        summary = train_here(job)
        if together.is_main_process:
            note(job, summary, together.num_processes)
        together.wait_for_everyone()
    together.destroy_process_group()


@contextlib.contextmanager
def _voices(place: Path | None) -> Iterator[int]:
    """Let the first process be heard alone; an exception that nobody expected is heard from the one that has it first.

    In a notebook's processes bars go to a file that it reads, and the others' words into the noise that it keeps.
    Yields where errors of this process can be written.
    """
    first, errors = processes.rank() == 0, os.dup(2)
    with contextlib.ExitStack() as stack:
        silence = stack.enter_context(open(os.devnull, "wb")).fileno()
        if place and first:
            _redirect(stack.enter_context((place / BARS).open("wb")).fileno(), 2)
        elif place:
            _redirect(2, 1)
        elif not first:
            _redirect(silence, 1)
            _redirect(silence, 2)
        try:
            yield errors
        except Exception:
            if place:
                (place / f"fault-{processes.rank()}").write_text(traceback.format_exc(), encoding="utf-8")
            told = not place and not _first_to_tell()  # one whose neighbour is gone fails too, but later
            _redirect(silence if told else errors, 2)
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.close(errors)


def _tell(sentence: str, place: Path | None, errors: int) -> None:
    """Say what is wrong: to the notebook that asked, or to the terminal."""
    if place:
        (place / f"error-{processes.rank()}").write_text(sentence, encoding="utf-8")
    elif _first_to_tell():
        os.write(errors, f"error: {sentence}\n".encode())
    else:
        time.sleep(WAIT)


def _first_to_tell() -> bool:
    """Is this the first of the processes to tell what is wrong? Their launcher keeps the count."""
    if processes.count() == 1:
        return True
    from torch.distributed import TCPStore

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        store = TCPStore(address, port, is_master=False, timeout=datetime.timedelta(seconds=10))
        return bool(store.add("aloe.train has told", 1) == 1)
    except RuntimeError:  # the launcher is gone
        return True


def _end_with_the_notebook() -> None:
    """End this process when the one that started it is gone: its end of our standard input is closed then."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _redirect(source: int, target: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(source, target)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m aloe.train", description="Train the policies of a stage.")
    parser.add_argument("stage", nargs="?", choices=("sft", "dpo"))
    parser.add_argument("--preset", default="sandbox", help="a name from params/ or the path of a YAML file")
    parser.add_argument("--seed", type=int, help="replaces the preset's seed")
    parser.add_argument("--handed", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
