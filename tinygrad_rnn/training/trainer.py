"""Trainer: updates of a model from batches, its evaluation, and the state to resume from.

This module does not depend on time and does not access files: the same data and seed give the same
numbers, and `state_dict` contains everything that the next update depends on. `Trainer.fit` runs
the trainer in a `Session`, which handles time, files and signals.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import autograd as ag
from autograd.runtime.deprecation import (
    RenamedAttribute,
    renamed_class_attributes,
)

from .. import nn, optim
from ..data import DataLoader
from ..errors import InputError, TrainingDiverged
from ..scalars import check_count, to_python
from .batch_loss import Loss, compute_gradient, evaluation_mode, ignore_float_errors, mean_loss
from .files import lock_folder
from .progress import NoProgress, progress_display
from .session import Callback, Limits, Position, Session
from .trainer_state import get_state, restored_on_error, set_state
from .truncated_bptt import TruncatedBPTT

_LOSS_CAUSE = (
    "the first batch or the initial weights contain nan or inf, or the loss takes the logarithm "
    "of 0"
)
_GRADIENT_CAUSE = "the loss is finite but its derivative is not, like the derivative of sqrt at 0"


class Trainer:
    """Training loop with validation, early stopping, checkpoints and callbacks.

    Parameters
    ----------
    model : nn.Module
        Model to train.
    optimizer : optim.Optimizer
        Optimizer of the parameters. `LBFGS` evaluates the loss of a batch several times per update.
    loss : callable
        `loss(model, batch)` returns the mean loss of a batch, a Tensor with one element, or the
        pair `(mean loss, sample count)`. Means over several batches are weighted by the sample
        counts (default: 1).
    batches : DataLoader or sequence
        Training batches.
    validation : DataLoader, sequence or callable, optional
        Validation batches, or a function of the model that returns a number to minimize. The model
        is evaluated before the first epoch and after every epoch. A loader that shuffles yields the
        same order in every evaluation.
    schedule : optim.lr_scheduler.LRScheduler, optional
        Learning-rate schedule. `ReduceLROnPlateau` receives the validation loss of each epoch.
    schedule_per : {"epoch", "step"}, default "epoch"
        Unit in which the schedule advances.
    clip : float, optional
        Maximum norm of the gradient (gradient clipping; Pascanu et al. 2013).
    accumulate : int, default 1
        Number of batches per update. The gradient equals the gradient of one large batch.
    bptt : TruncatedBPTT, optional
        Truncated backpropagation through time. Each batch continues the streams of the previous
        batch, and streams start with the epoch. The loss receives a function `inputs -> outputs`
        as its model.
    evaluate_every : int, optional
        Number of updates between evaluations within an epoch.

    Attributes
    ----------
    position : Position
        Numbers of steps and epochs, and the best evaluation.
    best_weights : dict or None
        Weights of the best evaluation if `fit` runs without a folder.
    metric_name, count_name : str
        Names of the metric and the sample count in records. A subclass may override them.
    metric_scale : float
        Divisor that converts the loss to the metric.

    Raises
    ------
    ValueError
        If options are out of range or contradict each other.
    TypeError
        If `batches` or `validation` has no length or cannot be indexed.

    Examples
    --------
    >>> trainer = Trainer(model, optimizer, loss, batches, validation, clip=1.0)
    >>> records = trainer.fit(epochs=10, patience=3, folder="runs/first")
    """

    metric_name = "loss"
    count_name = "seen"
    metric_scale = 1.0

    at = RenamedAttribute("position")
    pace = RenamedAttribute("work_done")
    figure = RenamedAttribute("metric_name")
    counted = RenamedAttribute("count_name")
    unit = RenamedAttribute("metric_scale")
    __init_subclass__ = renamed_class_attributes(
        figure="metric_name", counted="count_name", unit="metric_scale", pace="work_done"
    )

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        loss: Loss,
        batches: Any,
        validation: Any = None,
        *,
        schedule: optim.lr_scheduler.LRScheduler | None = None,
        schedule_per: str = "epoch",
        clip: float | None = None,
        accumulate: int = 1,
        bptt: TruncatedBPTT | None = None,
        evaluate_every: int | None = None,
    ) -> None:
        clip, accumulate, evaluate_every = to_python((clip, accumulate, evaluate_every))
        if clip is not None and not (isinstance(clip, (int, float)) and clip > 0):
            raise ValueError(f"clip must be a positive number or None, got {clip!r}")
        check_count("accumulate", accumulate)
        if evaluate_every is not None:
            check_count("evaluate_every", evaluate_every)
        _check_schedule(schedule, schedule_per, optimizer, validation)
        if bptt is not None:
            _check_stream(batches, optimizer)
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.batches = _as_loader(batches)
        self.validation: Any = validation if callable(validation) else _as_loader(validation)
        has_loader = not (self.validation is None or callable(self.validation))
        self.validation_start: Any = self.validation.state_dict() if has_loader else None
        self.schedule, self.schedule_per, self.clip = schedule, schedule_per, clip
        self._plateau: Any = schedule if _is_plateau(schedule) else None
        self.accumulate, self.bptt, self.evaluate_every = accumulate, bptt, evaluate_every
        self.steps_per_epoch = -(-len(self.batches) // accumulate)
        self.position = Position()
        self.best_weights: dict[str, Any] | None = None
        self.remaining: Iterator[Any] | None = None  # batches of the current epoch

    @ignore_float_errors
    def update(self) -> dict[str, Any]:
        """Update the weights from the next batch, or the next `accumulate` batches.

        Returns
        -------
        dict
            Record of the update.

        Raises
        ------
        TrainingDiverged
            If the loss or its gradient is not finite. The weights are unchanged.
        ValueError
            If the batches end early, or the loss is invalid or depends on no parameter.
        """
        position = self.position
        record: dict[str, Any] = {}

        def closure() -> float:
            loss, count, norm = compute_gradient(
                self.loss,
                self._bind_model(self.bptt),
                batches,
                self.optimizer,
                accumulate=self.accumulate > 1,
                clip=self.clip,
            )
            if not record:  # later evaluations are trial points of a line search
                metric, seen = loss / self.metric_scale, position.seen + count
                record.update(
                    self._record("update", position.step + 1, metric, seen),
                    gradient_norm=norm,
                    lr=to_python(self.optimizer.param_groups[0]["lr"]),
                )
                _check_finite(record, self.metric_name, self._likely_cause)
            return loss

        with restored_on_error(self):
            if self.remaining is None:
                self.remaining = iter(self.batches)
            batches = list(islice(self.remaining, self.accumulate))
            if not batches:
                raise ValueError(
                    f"epoch {position.epoch} ended after {position.batch} of {len(self.batches)} "
                    "batches"
                )
            self.optimizer.step(closure)
        position.step, position.batch = position.step + 1, position.batch + len(batches)
        position.seen = record[self.count_name]
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        if position.batch >= len(self.batches):
            self._end_epoch()
        return record

    def _bind_model(self, bptt: TruncatedBPTT | None) -> Any:
        """Return the model that the loss receives."""
        return self.model if bptt is None else partial(bptt, self.model)

    def _end_epoch(self) -> None:
        self.position.epoch, self.position.batch, self.remaining = self.position.epoch + 1, 0, None
        if self.bptt is not None:
            self.bptt.reset()
        if self.schedule is not None and self.schedule_per == "epoch" and not self._plateau:
            self.schedule.step()

    def _record(self, event: str, step: int, metric: float, seen: float) -> dict[str, Any]:
        return {
            "event": event,
            "step": step,
            "epoch": self.position.epoch,
            self.metric_name: metric,
            self.count_name: seen,
        }

    def _likely_cause(self, step: int, first_cause: str) -> str:
        """Return the likely cause of a number that is not finite: `first_cause` at step 1."""
        if step <= 1:
            return f"{first_cause}; autograd.detect_anomaly() names the line"
        lr = self.optimizer.param_groups[0]["lr"]
        clipping = "" if self.clip else " or with gradient clipping (clip=1.0)"
        return f"the learning rate ({lr:g}) is too high; restart with a lower one{clipping}"

    @property
    def evaluated(self) -> bool:
        """True if the current weights were evaluated, or if `validation` is None."""
        return self.validation is None or self.position.evaluated_step == self.position.step

    @property
    def evaluation_due(self) -> bool:
        """True if the model should be evaluated at this step and was not evaluated yet."""
        updates = -(-self.position.batch // self.accumulate)
        every = self.evaluate_every or self.steps_per_epoch
        return updates % every == 0 and not self.evaluated

    @ignore_float_errors
    def evaluate(self) -> dict[str, Any]:
        """Evaluate the model on the validation data and update the best evaluation.

        Returns
        -------
        dict
            Record of the evaluation.

        Raises
        ------
        TrainingDiverged
            If the validation loss is not finite.
        """
        position, metric = self.position, self._validation_metric()
        if not math.isfinite(metric):
            raise TrainingDiverged(
                f"training diverged at step {position.step}: the validation loss is {metric}; "
                "likely cause: the validation data contain nan or inf, or "
                f"{self._likely_cause(position.step, _LOSS_CAUSE)}"
            )
        position.evaluated_step, position.validation = position.step, metric
        record = self._record("evaluation", position.step, metric, position.seen)
        record["epoch"] = position.epoch if position.batch else position.epoch - 1
        record["best"] = metric < position.best
        if record["best"]:
            position.best_step, position.best_epoch = position.step, record["epoch"]
            position.best = metric
        position.idle_epochs = position.epoch - 1 - position.best_epoch
        if self._plateau and position.step and not position.batch:
            self._plateau.step(metric)
        return record

    def _validation_metric(self) -> float:
        if callable(self.validation):
            value = self.validation(self.model)
            try:
                return float(value)
            except (TypeError, ValueError) as error:
                raise TypeError(f"validation(model) must return a number, got {value!r}") from error
        model = self._bind_model(None if self.bptt is None else self.bptt.for_evaluation())
        self.validation.load_state_dict(self.validation_start)
        with evaluation_mode(self.model), ag.no_grad():
            return mean_loss(self.loss, model, self.validation) / self.metric_scale

    def fit(
        self,
        epochs: int | None = None,
        *,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        patience: int | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        on_step: Callback | None = None,
        on_epoch: Callback | None = None,
        progress: bool = True,
    ) -> list[dict[str, Any]]:
        """Train until a limit is reached, then load the best weights into the model.

        Without validation the model keeps its last weights. Ctrl-C and SIGTERM end training after
        the current update, which is saved, and then have their usual effect.

        Parameters
        ----------
        epochs : int, optional
            Number of epochs, including epochs before a resume.
        max_steps : int, optional
            Number of updates, including updates before a resume.
        max_seconds : float, optional
            Training time in seconds, including the time before a resume.
        patience : int, optional
            Number of epochs without a better validation loss after which training stops (early
            stopping).
        folder : str or Path, optional
            Folder for the checkpoint `last.safetensors`, the best model `model.safetensors` and the
            records `metrics.jsonl`.
        resume : bool, default False
            Continue from the checkpoint in the folder. The results are bit-identical to training
            without an interruption.
        on_step : callable, optional
            Callback with the record of every update.
        on_epoch : callable, optional
            Callback at the end of every epoch, with the record of the evaluation or, without
            validation, of the last update.
        progress : bool, default True
            Show the progress on standard output.

        Returns
        -------
        list of dict
            Records of all updates and evaluations.

        Raises
        ------
        TrainingDiverged
            If a loss, a gradient or a validation loss is not finite. The model keeps its last
            weights, and the folder the last checkpoint.
        InputError
            If no limit is given, the folder contains a checkpoint and `resume` is false, or the
            checkpoint is damaged or belongs to another trainer.
        """
        limits = Limits(epochs, max_steps, max_seconds, patience)
        if all(limit is None for limit in asdict(limits).values()):
            raise InputError("fit needs a limit: epochs=, max_steps=, max_seconds= or patience=")
        if patience is not None and self.validation is None:
            raise InputError("patience needs validation data: Trainer(..., validation=...)")
        if folder is not None:
            folder = Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
        with nullcontext() if folder is None else lock_folder(folder):
            if folder is not None and not resume and (folder / "last.safetensors").exists():
                raise InputError(
                    f"{folder} contains a checkpoint; continue it with resume=True or choose "
                    "another folder"
                )
            session = Session(folder, self, limits, on_step, on_epoch)
            with progress_display(sys.stdout) if progress else nullcontext(NoProgress()) as display:
                session.train(display)
                session.finish()
            return session.records

    @property
    def work_done(self) -> tuple[float, str]:
        """Amount of work so far, and its unit, for the display of the speed."""
        return self.position.step, "steps"

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next update depends on.

        Returns
        -------
        dict
            Nested dicts of arrays and JSON values; see `save_tree`.
        """
        return get_state(self)

    def load_state_dict(self, saved: dict[str, Any], source: str | Path = "the state") -> None:
        """Restore a state that `state_dict` returned. Changed options cause a warning.

        Parameters
        ----------
        saved : dict
            The state.
        source : str or Path
            Name of the state in error messages.

        Raises
        ------
        InputError
            If the state is malformed, or belongs to another model, optimizer, schedule or data.
        """
        set_state(self, saved, source)


def _check_finite(
    record: Mapping[str, Any], metric_name: str, likely_cause: Callable[[int, str], str]
) -> None:
    """Raise TrainingDiverged if the loss or the norm of the gradient is not finite."""
    step = record["step"]
    for name, description, first_cause in (
        (metric_name, "loss", _LOSS_CAUSE),
        ("gradient_norm", "gradient norm", _GRADIENT_CAUSE),
    ):
        if not math.isfinite(record[name]):
            raise TrainingDiverged(
                f"training diverged at step {step}: the {description} is {record[name]}; "
                f"likely cause: {likely_cause(step, first_cause)}"
            )


def _check_schedule(
    schedule: optim.lr_scheduler.LRScheduler | None,
    schedule_per: str,
    optimizer: optim.Optimizer,
    validation: Any,
) -> None:
    """Raise ValueError if a schedule contradicts other options."""
    if schedule_per not in ("epoch", "step"):
        raise ValueError(f'schedule_per must be "epoch" or "step", got {schedule_per!r}')
    if _is_plateau(schedule) and (validation is None or schedule_per == "step"):
        raise ValueError('ReduceLROnPlateau needs validation data and schedule_per="epoch"')
    if schedule is not None and schedule.optimizer is not optimizer:
        raise ValueError("the schedule must use the optimizer of the trainer")


def _is_plateau(schedule: Any) -> bool:
    return isinstance(schedule, optim.lr_scheduler.ReduceLROnPlateau)


def _check_stream(batches: Any, optimizer: optim.Optimizer) -> None:
    """Raise ValueError if batches or optimizer do not allow truncated BPTT."""
    if getattr(batches, "shuffle", False):
        raise ValueError("bptt needs batches in the order of the stream; use shuffle=False")
    if isinstance(optimizer, optim.LBFGS):
        raise ValueError(
            "LBFGS evaluates each batch several times, but a stream (bptt) is read once; use "
            "another optimizer or batches of whole sequences"
        )


def _as_loader(batches: Any) -> Any:
    """Return batches with a state that can be saved: a loader, or None."""
    if batches is None or hasattr(batches, "state_dict"):
        return batches
    if not (hasattr(batches, "__len__") and hasattr(batches, "__getitem__")):
        raise TypeError(
            f"batches must be a DataLoader or a sequence, got {batches!r}; an iterator can be read "
            "only once"
        )
    return DataLoader(batches, batch_size=None)
