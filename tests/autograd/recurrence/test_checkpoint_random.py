"""Checkpointing repeats the random numbers of its own thread, and leaves those of others alone."""

import threading
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn import nn

N = 64


def in_other_thread(work: Any) -> Any:
    """Return the result of `work()` in another thread."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def draw(x: Any) -> Any:
    """Apply dropout while another thread draws, between the draws of this thread."""
    y = x * ag.random.default_generator.mask(x.shape, 0.5)
    in_other_thread(lambda: ag.random.default_generator.uniform(7))
    return y


def scan(x: Any, **options: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        return c + 0, draw(x)

    return ag.scan(step, ag.zeros(()), x, compile=False, **options)[1]


FUNCTIONS: dict[str, Any] = {
    "checkpoint": ag.checkpoint(lambda x: draw(draw(x))),
    "nested": ag.checkpoint(lambda x: draw(ag.checkpoint(draw)(x))),
    "scan": lambda x: scan(x, checkpoint=2),
    "scan within a budget": lambda x: scan(x, memory_budget=4500),
    "scan in a checkpoint": ag.checkpoint(lambda x: scan(x, checkpoint=3)),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_masks_are_repeated_while_other_threads_draw(name: str, create_graph: bool) -> None:
    ag.manual_seed(1)
    x = ag.ones((7, N), requires_grad=True)
    y = FUNCTIONS[name](x)
    (gradient,) = ag.gradients(y.sum(), [x], create_graph=create_graph)
    np.testing.assert_array_equal(gradient.numpy(), y.numpy())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_threads_draw_other_numbers(name: str) -> None:
    """The numbers of all draws of all threads are different: no position is restored."""
    ag.manual_seed(1)
    seen: list[tuple[int, ...]] = []
    words = ag.Generator.words

    def recorded(self: Any, count: int, device: Any = None) -> Any:
        result = words(self, count, device)
        if not backward or threading.current_thread() is not threading.main_thread():
            seen.append(tuple(np.asarray(ag.backend.of_array(result).to_host(result)).tolist()))
        return result

    backward = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ag.Generator, "words", recorded)
        y = FUNCTIONS[name](ag.ones((7, N), requires_grad=True))
        count = len(seen)
        backward = True
        y.sum().backward()
    others = {numbers for numbers in seen if len(numbers) == 7}
    assert len(others) == sum(len(numbers) == 7 for numbers in seen)
    assert len(seen) > count > 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_model_of_another_thread_gets_the_weights_of_the_stream(name: str) -> None:
    """The backward pass does not move the stream."""

    def weights() -> Any:
        return nn.Linear(3, 3).weight.numpy()

    ag.manual_seed(1)
    y = FUNCTIONS[name](ag.ones((7, N), requires_grad=True))
    state = ag.random.get_state()
    expected = weights()
    ag.random.set_state(state)
    created: list[Any] = []
    x = ag.ones(3, requires_grad=True) * 1
    x.register_hook(lambda g: created.append(in_other_thread(weights)))
    (y.sum() + x.sum()).backward()
    np.testing.assert_array_equal(created[0], expected)


def test_a_seed_inside_the_function_is_repeated() -> None:
    def f(x: Any) -> Any:
        x = nn.functional.dropout(x, 0.5)
        ag.manual_seed(5)
        return nn.functional.dropout(x, 0.5)

    x = ag.ones(N, requires_grad=True)
    y = ag.checkpoint(f)(x)
    after = ag.random.get_state()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())  # type: ignore[union-attr]
    assert ag.random.get_state() == after


def test_more_draws_in_the_second_evaluation_are_an_error() -> None:
    layer = nn.Dropout(0.5).eval()
    y = ag.checkpoint(lambda x: layer(2 * x))(ag.ones(N, requires_grad=True))
    layer.train()
    with pytest.raises(RuntimeError, match="drew more random numbers than the first"):
        y.sum().backward()


@pytest.mark.parametrize("draws", [1, 2, 5])
def test_recorded_draws_are_runs(draws: int) -> None:
    recorded: Any = []
    with ag.random.record_draws(recorded):
        first = [ag.random.default_generator.uniform(5).tolist() for _ in range(draws)]
        state = ag.random.get_state()
    with ag.random.replay_draws(recorded):
        assert [ag.random.default_generator.uniform(5).tolist() for _ in range(draws)] == first
        assert ag.random.get_state() == state
        with pytest.raises(RuntimeError, match="drew more random numbers"):
            ag.random.default_generator.uniform(1)
    assert len(recorded) == 1
