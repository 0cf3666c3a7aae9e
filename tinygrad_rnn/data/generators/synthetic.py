"""Synthetic time series, symbol sequences, spoken words, DNA and tunes with known structure.

The argument `rng` is a NumPy generator; equal seeds give equal data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..formats.fasta import FastaRecord, encode_bases
from ..formats.midi import Note
from ..vocabulary import Ids

Floats = npt.NDArray[np.float64]
Rng = np.random.Generator

# --- time series ----------------------------------------------------------------------------------


def make_frequency_modulated_sine(rng: Rng, n: int) -> Floats:
    """Generate a sine (n,) with a slowly varying random frequency and a little noise."""
    modulation = np.convolve(rng.normal(size=n + 59), np.hanning(60), "valid")
    frequency = 0.55 + 0.4 * np.tanh(modulation / modulation.std())
    return np.sin(np.cumsum(frequency)) + 0.005 * rng.normal(size=n)  # type: ignore[no-any-return]


def make_mackey_glass(
    rng: Rng, n: int, tau: float = 17, dt: float = 0.1, every: int = 60
) -> Floats:
    """Generate a chaotic Mackey-Glass series (n,).

    The series contains every `every`-th step of Euler's method with step size `dt` for

        dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)

    after a transient from a constant initial state (Mackey & Glass 1977, "Oscillation and chaos in
    physiological control systems").
    """
    x = [1.2 + 0.1 * float(rng.normal())] * (round(tau / dt) + 1)
    for t in range((n + 50) * every):
        x.append(x[-1] + dt * (0.2 * x[t] / (1 + x[t] ** 10) - 0.1 * x[-1]))
    return np.array(x[-n * every :: every])


def make_seasonal_series(rng: Rng, n: int) -> Floats:
    """Generate an hourly series (n,) with daily and weekly seasons and autocorrelated noise."""
    t, weather = np.arange(n), np.zeros(n)
    for i in range(1, n):
        weather[i] = 0.9 * weather[i - 1] + rng.normal()
    season: Floats = 5 * np.sin(2 * np.pi * t / 24) + 2 * np.sin(2 * np.pi * t / 168)
    return season + weather


def make_random_walk(rng: Rng, n: int) -> Floats:
    """Generate a random walk (n,) from 100 with steps from N(0, 1)."""
    return 100 + np.cumsum(rng.normal(size=n))


# --- adding problem -------------------------------------------------------------------------------


def make_adding_problem(rng: Rng, terms: int, size: int) -> tuple[npt.NDArray[np.float32], Any]:
    """Generate a batch of the adding problem.

    The inputs (T, B, 2) are numbers from 0 to 1 and marks, with one mark in each half. The targets
    (B,) are the sums of the marked numbers. Hochreiter & Schmidhuber 1997, "Long short-term
    memory", experiment 4, in the form of Le et al. 2015, "A simple way to initialize recurrent
    networks of rectified linear units".
    """
    x = np.zeros((terms, size, 2), np.float32)
    x[..., 0] = rng.random((terms, size))
    for begin, end in ((0, terms // 2), (terms // 2, terms)):
        x[rng.integers(begin, end, size), np.arange(size), 1] = 1
    return x, x.prod(2).sum(0)


# --- Markov chains --------------------------------------------------------------------------------


def make_markov_chain(rng: Rng, symbols: int) -> tuple[Floats, Floats]:
    """Generate a second-order Markov chain in which one next symbol is likely.

    Returns
    -------
    table : ndarray, shape (symbols, symbols, symbols)
        The transition probabilities p(c | a, b), indexed by [a, b, c].
    pairs : ndarray, shape (symbols, symbols)
        The stationary distribution of the pair (a, b).
    """
    likely = np.eye(symbols)[rng.integers(0, symbols, (symbols, symbols))]
    table, pairs = 0.8 * likely + 0.2 / symbols, np.full((symbols, symbols), symbols**-2.0)
    for _ in range(500):
        pairs = np.einsum("ab,abc->bc", pairs, table)
    return table, pairs


def sample_markov_chain(rng: Rng, table: Floats, length: int, size: int) -> Ids:
    """Sample sequences (length, size) from a second-order Markov chain.

    The first two symbols are uniformly distributed.
    """
    x = rng.integers(0, len(table), (length, size))
    for t in range(2, length):
        x[t] = (rng.random((size, 1)) > table[x[t - 2], x[t - 1]].cumsum(1)[:, :-1]).sum(1)
    return x


# --- spoken words ---------------------------------------------------------------------------------

# Three formants (Hz), voice amplitude; center (Hz) and amplitude of the noise; duration (s).
SOUNDS = {
    "a": (730, 1090, 2440, 1.0, 0, 0.0, 0.14),
    "i": (270, 2290, 3010, 0.8, 0, 0.0, 0.12),
    "u": (300, 870, 2240, 0.8, 0, 0.0, 0.12),
    "m": (250, 1100, 2200, 0.3, 0, 0.0, 0.08),
    "s": (400, 1700, 2600, 0.0, 3500, 0.5, 0.10),
    "f": (400, 1400, 2400, 0.0, 1800, 0.3, 0.10),
}
"""The vowels' formants are the averages of male speakers in Peterson & Barney 1952, "Control
methods used in a study of the vowels"."""


def make_spoken_word(
    rng: Rng, word: str, pitch: float, size: float, slowness: float, rate: int = 8000
) -> Floats:
    """Synthesize a word of `SOUNDS` in noise and return samples (n,) from -1 to 1.

    The voice consists of harmonics of a pitch (Hz), filtered by resonances at the formants times
    `size`; fricatives are filtered noise. `slowness` multiplies the durations.
    """
    sounds = np.array([SOUNDS[letter] for letter in word])
    durations = sounds[:, 6] * slowness * rng.uniform(0.85, 1.15, len(word))
    t = np.arange(round(durations.sum() * rate)) / rate
    centers = np.cumsum(durations) - durations / 2
    f1, f2, f3, voice, hiss, loudness, _ = (np.interp(t, centers, column) for column in sounds.T)
    phase = np.cumsum(pitch * (1.1 - 0.2 * t / t[-1] + 0.02 * np.sin(35 * t))) / rate
    harmonics = np.arange(1, int(rate / 2.3 / pitch))[:, None]
    response: Any = sum(1 / (1 + ((harmonics * pitch - f * size) / 90) ** 2) for f in (f1, f2, f3))
    tone = voice * (response * np.sin(2 * np.pi * harmonics * phase)).sum(0)
    noise, room = rng.normal(size=(2, len(t), 2)).view(np.complex128)[..., 0]
    carrier = np.exp(2j * np.pi * np.cumsum(hiss * np.where(loudness > 0, size, 0)) / rate)
    fricatives = loudness * (np.convolve(noise, np.hanning(9), "same") * carrier).real
    samples = tone + fricatives + rng.uniform(0.02, 0.3) * room.real
    return samples / np.abs(samples).max() * rng.uniform(0.3, 0.9)  # type: ignore[no-any-return]


# --- DNA ------------------------------------------------------------------------------------------

STOPS = ("TAA", "TAG", "TGA")
CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in STOPS]
USAGE = np.random.default_rng(1).dirichlet(np.full(len(CODONS), 0.3))
"""The codon frequencies in genes; as in organisms, they differ."""


def make_dna(rng: Rng, genes: int) -> FastaRecord:
    """Generate DNA with genes, from ATG to a stop codon, that are separated by random bases."""
    text, phases = "", []
    for _ in range(genes):
        gap, codons = rng.integers(20, 180), rng.integers(15, 50)
        gene = ["ATG", *rng.choice(CODONS, codons, p=USAGE), rng.choice(STOPS)]
        text += "".join(rng.choice(list("ACGT"), gap)) + "".join(gene)
        phases += [0] * gap + [1, 2, 3] * len(gene)
    return FastaRecord("generated", encode_bases(text), np.array(phases))


# --- tunes ----------------------------------------------------------------------------------------

STEPS_PER_BAR = 16
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))
RHYTHMS = ((4, 4, 4, 4), (8, 4, 4), (4, 4, 8), (2, 2, 4, 4, 4), (4, 2, 2, 8))


def make_tune(rng: Rng) -> tuple[list[Note], set[int]]:
    """Generate a tune of eight bars, and the set of the seven pitch classes of its key.

    A pitch class is a key modulo 12. Each bar of `STEPS_PER_BAR` steps has a melody, and a chord
    below it at its beginning. The form is A A' B A', with two bars each; A' begins like A and ends
    on the tonic.
    """
    tonic, scale = 44 + int(rng.integers(12)), SCALES[rng.integers(2)]
    first, closing = _melody(rng, 0), _melody(rng, 0)
    end = [(0, first), (0, [*closing[:-1], (0, closing[-1][1])])]
    opening, middle = (4, _melody(rng, 4)), [(degree, _melody(rng, degree)) for degree in (3, 4)]
    notes = []
    for number, (chord, melody) in enumerate([(0, first), opening, *end, *middle, *end]):
        start = number * STEPS_PER_BAR
        for degree, length in [(chord - 14, 0), (chord - 5, 0), (chord - 3, 0), *melody]:
            key = tonic + 12 * (degree // 7) + scale[degree % 7]
            notes.append(Note(start, key, length or STEPS_PER_BAR))
            start += length
    return notes, {(tonic + interval) % 12 for interval in scale}


def _melody(rng: Rng, chord: int) -> list[tuple[int, int]]:
    """Generate a bar that begins on a note of the chord: scale degrees and lengths in steps."""
    first, rhythm = chord + rng.choice([0, 2, 4]), RHYTHMS[rng.integers(len(RHYTHMS))]
    intervals = np.cumsum([0, *rng.choice([-2, -1, -1, 0, 1, 1, 2], len(rhythm) - 1)])
    return list(zip(np.clip(first + intervals, -2, 9).tolist(), rhythm, strict=True))
