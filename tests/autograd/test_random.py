"""Random streams: the words of the generator, its state, and the distributions of the numbers.

A correct distribution exceeds the bounds once in 10^9 tests: Hoeffding's (1963) for means,
Massart's (1990) for the distance of distribution functions.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

N = 20_000
BOUND = math.sqrt(math.log(2 / 1e-9) / (2 * N))  # for N numbers from an interval of length 1

seeds = st.integers(0, 2**64 - 1)
WORD = 2**64


def philox(seed: int, counter: int) -> list[int]:
    """One block of Philox4x64-10 (Salmon et al. 2011, section 3.3), in plain Python."""
    c0, c1, c2, c3 = [(counter >> shift) % WORD for shift in (0, 64, 128, 192)]
    k0, k1 = seed, 0
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c0, WORD)
        high1, low1 = divmod(0xCA5A826395121157 * c2, WORD)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % WORD, (k1 + 0xBB67AE8584CAA73B) % WORD
    return [c0, c1, c2, c3]


# --- the stream -----------------------------------------------------------------------------------


def test_the_reference_implementation_gives_published_words() -> None:
    words = "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"
    assert [f"{word:016x}" for word in philox(0, 0)] == words.split()


@given(seed=seeds, block=st.integers(0, 2**64 - 3), count=st.integers(0, 12))
def test_words_equal_the_reference_implementation(seed: int, block: int, count: int) -> None:
    generator = ag.Generator(seed)
    generator.state = {"seed": seed, "block": block}
    expected = [word for n in (1, 2, 3) for word in philox(seed, block + n)]
    assert generator.words(count).tolist() == expected[:count]


@given(seed=seeds, parts=st.lists(st.integers(0, 9).map(lambda n: 4 * n), max_size=4))
def test_draws_of_whole_blocks_concatenate_to_one_stream(seed: int, parts: list[int]) -> None:
    generator = ag.Generator(seed)
    drawn = [word for part in parts for word in generator.words(part).tolist()]
    assert drawn == ag.Generator(seed).words(sum(parts)).tolist()


DRAWS: dict[str, Callable[[ag.Generator], Any]] = {
    "uniform": lambda g: g.uniform((3, 5)).tolist(),
    "normal": lambda g: g.normal((3, 5)).tolist(),
    "integers": lambda g: g.integers(-5, 1000, 7).tolist(),
    "mask": lambda g: g.mask((9, 9), 0.3).tolist(),
    "permutation": lambda g: g.permutation(50).tolist(),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_stream_continues_from_a_state(draw: Callable[[ag.Generator], Any]) -> None:
    generator = ag.Generator(7)
    draw(generator)
    state = generator.state
    expected = draw(generator), draw(generator)
    assert expected[0] != expected[1]
    other = ag.Generator()
    other.state = state
    assert (draw(other), draw(other)) == expected


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_seed_determines_the_stream(draw: Callable[[ag.Generator], Any]) -> None:
    assert draw(ag.Generator(1)) == draw(ag.Generator(1))
    assert draw(ag.Generator(1)) != draw(ag.Generator(2))


def test_the_default_stream() -> None:
    ag.manual_seed(5)
    first = ag.random.default_generator.words(4).tolist()
    state = ag.random.get_state()
    second = ag.random.default_generator.words(4).tolist()
    ag.random.set_state(state)
    assert ag.random.default_generator.words(4).tolist() == second
    ag.manual_seed(5)
    assert (
        ag.random.default_generator.words(4).tolist() == first == ag.Generator(5).words(4).tolist()
    )


def test_the_old_name_of_the_default_stream_warns() -> None:
    with pytest.warns(DeprecationWarning, match=r"use autograd\.random\.default_generator"):
        assert ag.random.default is ag.random.default_generator


def test_threads_share_a_stream_without_overlap() -> None:
    class Slow(int):
        """A count whose negation gives other threads time to run."""

        def __neg__(self) -> int:
            time.sleep(0.001)
            return -int(self)

    generator = ag.Generator(3)
    drawn: list[int] = []
    threads = [
        threading.Thread(target=lambda: drawn.extend(generator.words(Slow(4)))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drawn) == sorted(ag.Generator(3).words(80))


@pytest.mark.parametrize("state", [{"seed": -1, "block": 0}, {"seed": 0, "block": 2**64}])
def test_invalid_states_raise(state: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be integers from 0 to"):
        ag.Generator().state = state


# --- distributions --------------------------------------------------------------------------------


def distance(values: np.ndarray, cdf: Callable[[float], float]) -> float:
    """Return the largest distance between empirical distribution function and `cdf`."""
    steps = np.arange(len(values) + 1) / len(values)
    expected = np.array([cdf(float(value)) for value in np.sort(values)])
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


@given(seeds)
def test_uniform(seed: int) -> None:
    u = ag.Generator(seed).uniform(N, -2, 6, np.float64).numpy()
    assert ((u >= -2) & (u < 6)).all()
    assert distance(u, lambda x: (x + 2) / 8) < BOUND


@given(seeds)
def test_normal(seed: int) -> None:
    z = ag.Generator(seed).normal(N, 3, 2, np.float64).numpy()
    assert distance(z, lambda x: (1 + math.erf((x - 3) / math.sqrt(8))) / 2) < BOUND
    assert len(np.unique(z)) == N


@given(seeds, st.integers(-1000, 1000), st.integers(1, 10))
def test_integers(seed: int, low: int, span: int) -> None:
    n = ag.Generator(seed).integers(low, low + span, N).numpy()
    assert set(np.unique(n)) <= set(range(low, low + span))
    assert np.abs(np.bincount(n - low, minlength=span) / N - 1 / span).max() < BOUND


@given(seeds, st.floats(0, 1))
def test_mask(seed: int, probability: float) -> None:
    mask = ag.Generator(seed).mask(N, probability)
    assert mask.dtype == bool
    assert abs(mask.numpy().mean() - probability) < BOUND


@given(seeds, st.integers(1, 20))
def test_numbers_at_a_distance_are_independent(seed: int, gap: int) -> None:
    u = ag.Generator(seed).uniform(N + gap, -1, 1, np.float64).numpy()
    assert abs((u[gap:] * u[:-gap]).mean()) < 2 * 2 * BOUND  # two sums of independent terms


@given(seeds, st.integers(0, 50))
def test_a_permutation_contains_every_number(seed: int, n: int) -> None:
    assert sorted(ag.Generator(seed).permutation(n)) == list(range(n))


def test_permutations_are_equally_likely() -> None:
    generator = ag.Generator(11)
    codes = [int(generator.permutation(3) @ [9, 3, 1]) for _ in range(N)]
    _, counts = np.unique(codes, return_counts=True)
    assert len(counts) == 6
    assert np.abs(counts / N - 1 / 6).max() < BOUND


# --- edge cases -----------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0, 1])
def test_masks_of_probability_zero_and_one(probability: int) -> None:
    assert (ag.Generator().mask((30, 30), probability).numpy() == probability).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uniform_numbers_never_reach_the_upper_end(dtype: Any) -> None:
    u = ag.Generator().uniform(100_000, 1, 2, dtype)
    assert u.dtype == dtype
    assert u.numpy().min() >= 1
    assert u.numpy().max() < 2


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (3,), (2, 3)])
@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_shapes_and_the_default_dtype(name: str, shape: tuple[int, ...]) -> None:
    numbers = getattr(ag.Generator(), name)(shape)
    assert numbers.shape == shape
    assert numbers.dtype == ag.get_default_dtype()


def test_invalid_ranges_raise() -> None:
    for low, high in ((3, 3), (0, 2**31 + 1)):
        with pytest.raises(ValueError, match="integers: bounds must satisfy low < high"):
            ag.Generator().integers(low, high)
    with pytest.raises(ValueError, match="uniform: low must be <= high"):
        ag.Generator().uniform(3, 1.0, 0.0)
