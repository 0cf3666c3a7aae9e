"""The one-cycle schedule of the learning rate and the momentum."""

from __future__ import annotations

from collections.abc import Sequence

from ...scalars import check_non_negative
from ..optimizer import Optimizer
from .decay import cosine
from .scheduler import LRScheduler, per_group, positive_integer, positive_number


class OneCycleLR(LRScheduler):
    """One-cycle policy: warm-up to a maximum learning rate, followed by annealing.

    The learning rate rises from `max_lr / div_factor` to `max_lr`, and then falls to
    `max_lr / div_factor / final_div_factor`. With `cycle_momentum` the momentum (or beta1) of the
    optimizer moves in the opposite direction.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose learning rates are scheduled.
    max_lr : float or sequence of float
        Maximum learning rate: one value, or one per parameter group.
    total_steps : int, optional
        Number of steps in the cycle; `epochs * steps_per_epoch` by default.
    epochs : int, optional
        Number of epochs.
    steps_per_epoch : int, optional
        Number of steps in an epoch.
    pct_start : float, default 0.3
        Fraction of the cycle in which the learning rate rises.
    anneal_strategy : {"cos", "linear"}, default "cos"
        Shape of the curves.
    cycle_momentum : bool, default True
        Cycle the momentum too.
    base_momentum : float or sequence of float, default 0.85
        Momentum at the maximum learning rate.
    max_momentum : float or sequence of float, default 0.95
        Momentum at the start and at the end.
    div_factor : float, default 25.0
        Ratio of the maximum learning rate to the initial one.
    final_div_factor : float, default 1e4
        Ratio of the initial learning rate to the final one.
    three_phase : bool, default False
        Fall symmetrically to the initial learning rate first, and then to the final one.

    Raises
    ------
    ValueError
        If the number of steps is missing, if an option is out of range, or if `cycle_momentum` is
        set and the optimizer has no momentum.

    References
    ----------
    Smith & Topin 2019, "Super-convergence: very fast training of neural networks using large
    learning rates".
    """

    option_names = ("total_steps", "anneal_strategy", "phase_ends", "phase_rates", "phase_momenta")

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "You must define either total_steps OR (epochs AND steps_per_epoch)"
                )
            epochs = positive_integer("epochs", epochs)
            total_steps = epochs * positive_integer("steps_per_epoch", steps_per_epoch)
        self.total_steps = positive_integer("total_steps", total_steps)
        div_factor = positive_number("div_factor", div_factor)
        final_div_factor = positive_number("final_div_factor", final_div_factor)
        pct_start = check_non_negative("pct_start", pct_start)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self.anneal_strategy = anneal_strategy
        if cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
            )

        rise = pct_start * self.total_steps
        second_end = [2 * rise - 2] if three_phase else []
        self.phase_ends = [rise - 1, *second_end, self.total_steps - 1]
        self.phase_rates: list[list[float]] = []
        self.phase_momenta: list[list[float]] = []
        for peak in per_group("max_lr", max_lr, optimizer):
            initial = check_non_negative("max_lr", peak) / div_factor
            second_knot = [initial] if three_phase else []
            self.phase_rates.append([initial, peak, *second_knot, initial / final_div_factor])
        if cycle_momentum:
            highs = per_group("max_momentum", max_momentum, optimizer)
            lows = per_group("base_momentum", base_momentum, optimizer)
            for low, high in zip(lows, highs, strict=True):
                check_non_negative("base_momentum", low)
                check_non_negative("max_momentum", high)
                if not (low < 1 and high < 1):
                    raise ValueError(f"momenta must be in [0, 1), got {low} and {high}")
                self.phase_momenta.append([high, low, high, high])
        super().__init__(optimizer)

    def _interpolate(self, knots: list[float], steps: int) -> float:
        """Interpolate between the knots, which are the values at the ends of the phases."""
        ends = self.phase_ends
        phase = next((k for k, end in enumerate(ends) if steps <= end), len(ends) - 1)
        start, end = ([0.0, *ends])[phase], ends[phase]
        fraction = (steps - start) / (end - start) if end != start else 1.0
        anneal = cosine if self.anneal_strategy == "cos" else _linear
        return anneal(knots[phase], knots[phase + 1], fraction)

    def rates(self, steps: int) -> list[float]:
        """Return the learning rate of each parameter group.

        Parameters
        ----------
        steps : int
            Number of steps taken.

        Returns
        -------
        list of float
            The learning rates.

        Raises
        ------
        ValueError
            If `steps` exceeds the length of the cycle.
        """
        if steps > self.total_steps:
            raise ValueError(
                f"Tried to step {steps} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        # The last step extrapolates beyond the cycle, which can fall below 0.
        return [max(self._interpolate(knots, steps), 0.0) for knots in self.phase_rates]

    def _apply(self) -> None:
        super()._apply()
        for group, knots in self._zip_groups(self.phase_momenta) if self.phase_momenta else ():
            momentum = self._interpolate(knots, self.last_epoch)
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


def _linear(start: float, end: float, fraction: float) -> float:
    return start + (end - start) * fraction
