"""The trackers that a training reports to: how each is opened, what it is told, how it is closed.

All that they write lies under `.cache/live`, which git and DVC ignore. A training that goes on after a kill goes on in the
same run; the steps between its last checkpoint and the kill are then told twice.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tinyllm.console import in_short

PROJECT = "tinyllm"  # what the runs stand under where a tracker has projects
Values = Mapping[str, float]


@dataclass(frozen=True)
class LiveRun:
    """A training as trackers know it.

    Args:
        folder: of all trackers and runs
        experiment: the name of DVC's experiment, or `workspace`
        settings: the params that are shown beside the run, by their dotted keys
        goes_on: whether it began in an earlier process
    """

    folder: Path
    experiment: str
    seed: int
    settings: Mapping[str, Any]
    goes_on: bool

    @property
    def name(self) -> str:
        return f"{self.experiment}-{self.seed}"

    def place(self, tracker: str) -> Path:
        """Return the run's own folder of a tracker; what an earlier training has left there is deleted."""
        place = self.folder / tracker / self.experiment / str(self.seed)
        if not self.goes_on:
            shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        return place


class Tracker(NamedTuple):
    """One that is told: `log(step, values)`, then `close()`."""

    log: Callable[[int, Values], object]
    close: Callable[[], object]


def open_tracker(name: str, run: LiveRun) -> Tracker:
    """Open a run in the tracker of that name.

    Raises:
        ValueError: its package refuses, such as for want of a login; its own words in one line.
    """
    try:
        return OPENED[name](run)
    except Exception as error:  # whatever a package raises, no student has been trained yet
        raise ValueError(
            f"runtime.report_to: {name} cannot be opened ({in_short(error)}); see to that, or set it to none"
        ) from error


def _dvclive(run: LiveRun) -> Tracker:
    from dvclive import Live

    # else it writes into dvc.yaml, which is the pipeline's, and saves an experiment of its own
    live = Live(str(run.place("dvclive")), resume=run.goes_on, dvcyaml=None, save_dvc_exp=False)

    def log(step: int, values: Values) -> None:
        live.step = step
        for name, value in values.items():
            live.log_metric(name, value)
        live.next_step()

    return Tracker(log, live.end)


def _tensorboard(run: LiveRun) -> Tracker:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run.place("tensorboard")))

    def log(step: int, values: Values) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return Tracker(log, writer.close)


def _trackio(run: LiveRun) -> Tracker:
    os.environ.setdefault("TRACKIO_DIR", str(run.folder.resolve() / "trackio"))  # it is read at the import
    import trackio

    resume = "allow" if run.goes_on else "never"
    opened = trackio.init(project=PROJECT, name=run.name, config=dict(run.settings), resume=resume, embed=False)
    return Tracker(lambda step, values: opened.log(dict(values), step=step), opened.finish)


def _wandb(run: LiveRun) -> Tracker:
    import wandb

    place = run.place("wandb")
    project, known = os.environ.get("WANDB_PROJECT", PROJECT), _run_id(place)
    opened = wandb.init(
        project=project,
        name=run.name,
        config=dict(run.settings),
        dir=place,
        id=known,
        resume="allow" if known else None,
    )
    _keep_run_id(place, opened.id)
    return Tracker(lambda step, values: opened.log(dict(values), step=step), opened.finish)


def _mlflow(run: LiveRun) -> Tracker:
    import mlflow

    place = run.place("mlflow")
    own = f"sqlite:///{(run.folder / 'mlflow' / 'mlflow.db').resolve()}"
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", own))
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
    known = _run_id(place)
    opened = mlflow.start_run(run_id=known, run_name=run.name)
    if not known:
        mlflow.log_params(dict(run.settings))
    _keep_run_id(place, opened.info.run_id)
    return Tracker(lambda step, values: mlflow.log_metrics(dict(values), step=step), mlflow.end_run)


def _run_id(place: Path) -> str | None:
    """The tracker's own name of the run that goes on; None where one begins."""
    path = place / "run_id"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _keep_run_id(place: Path, name: str) -> None:
    (place / "run_id").write_text(name, encoding="utf-8")


OPENED: dict[str, Callable[[LiveRun], Tracker]] = {
    "dvclive": _dvclive,
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
