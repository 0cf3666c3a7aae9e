"""Series, sums, symbols, spoken words, genes and tunes that are made, so that all about them is
known.

`rng` is a NumPy generator throughout: the same seed makes the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..formats.fasta import FastaRecord, encode_bases
from ..formats.midi import Note
from ..text import Ids

Floats = npt.NDArray[np.float64]
Rng = np.random.Generator

# --- series ---------------------------------------------------------------------------------------


def make_frequency_modulated_sine(rng: Rng, n: int) -> Floats:
    """A sine whose frequency is itself a slow and irregular wave (n,), with a little noise."""
    wander = np.convolve(rng.normal(size=n + 59), np.hanning(60), "valid")
    frequency = 0.55 + 0.4 * np.tanh(wander / wander.std())
    return np.sin(np.cumsum(frequency)) + 0.005 * rng.normal(size=n)  # type: ignore[no-any-return]


def make_mackey_glass(
    rng: Rng, n: int, tau: float = 17, dt: float = 0.1, every: int = 60
) -> Floats:
    """Chaos (n,): every so many steps of length dt of

        dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)

    by Euler's method, from a constant, after it has come to run as it does (Mackey & Glass 1977,
    "Oscillation and chaos in physiological control systems").
    """
    x = [1.2 + 0.1 * float(rng.normal())] * (round(tau / dt) + 1)
    for t in range((n + 50) * every):
        x.append(x[-1] + dt * (0.2 * x[t] / (1 + x[t] ** 10) - 0.1 * x[-1]))
    return np.array(x[-n * every :: every])


def make_seasonal_series(rng: Rng, n: int) -> Floats:
    """A sensor read every hour (n,): day, week, and weather that lasts for some hours."""
    t, weather = np.arange(n), np.zeros(n)
    for i in range(1, n):
        weather[i] = 0.9 * weather[i - 1] + rng.normal()
    season: Floats = 5 * np.sin(2 * np.pi * t / 24) + 2 * np.sin(2 * np.pi * t / 168)
    return season + weather


def make_random_walk(rng: Rng, n: int) -> Floats:
    """Steps of N(0, 1) from 100 on (n,)."""
    return 100 + np.cumsum(rng.normal(size=n))


# --- sums -----------------------------------------------------------------------------------------


def make_adding_problem(rng: Rng, terms: int, size: int) -> tuple[npt.NDArray[np.float32], Any]:
    """Numbers from 0 to 1 and marks (T, B, 2), one mark in each half; sums of the marked (B,): the
    adding problem (Hochreiter & Schmidhuber 1997, "Long short-term memory", experiment 4; in the
    form of Le et al. 2015, "A simple way to initialize recurrent networks of rectified linear
    units").
    """
    x = np.zeros((terms, size, 2), np.float32)
    x[..., 0] = rng.random((terms, size))
    for begin, end in ((0, terms // 2), (terms // 2, terms)):
        x[rng.integers(begin, end, size), np.arange(size), 1] = 1
    return x, x.prod(2).sum(0)


# --- symbols --------------------------------------------------------------------------------------


def make_markov_chain(rng: Rng, symbols: int) -> tuple[Floats, Floats]:
    """p(c | a, b) of the symbol c after a and b, one of which is likely, (a, b, c); and how often a
    and b come, one after the other, in the long run, (a, b)."""
    likely = np.eye(symbols)[rng.integers(0, symbols, (symbols, symbols))]
    table, pairs = 0.8 * likely + 0.2 / symbols, np.full((symbols, symbols), symbols**-2.0)
    for _ in range(500):
        pairs = np.einsum("ab,abc->bc", pairs, table)
    return table, pairs


def sample_markov_chain(rng: Rng, table: Floats, length: int, size: int) -> Ids:
    """Streams (length, size) of symbols, each drawn from `chain`'s table given the two before; the
    first two are drawn evenly."""
    x = rng.integers(0, len(table), (length, size))
    for t in range(2, length):
        x[t] = (rng.random((size, 1)) > table[x[t - 2], x[t - 1]].cumsum(1)[:, :-1]).sum(1)
    return x


# --- words ----------------------------------------------------------------------------------------

SOUNDS = {  # formants (Hz), loudness of the voice; middle and loudness of the noise; duration (s)
    "a": (730, 1090, 2440, 1.0, 0, 0.0, 0.14),
    "i": (270, 2290, 3010, 0.8, 0, 0.0, 0.12),
    "u": (300, 870, 2240, 0.8, 0, 0.0, 0.12),
    "m": (250, 1100, 2200, 0.3, 0, 0.0, 0.08),
    "s": (400, 1700, 2600, 0.0, 3500, 0.5, 0.10),
    "f": (400, 1400, 2400, 0.0, 1800, 0.3, 0.10),
}
"""The formants of vowels are men's averages in Peterson & Barney 1952, "Control methods used in a
study of the vowels"."""


def make_spoken_word(
    rng: Rng, word: str, pitch: float, size: float, slowness: float, rate: int = 8000
) -> Floats:
    """The samples, from -1 to 1, of a word of `SOUNDS` in noise: harmonics of a pitch (Hz), as loud
    as resonances at the formants times `size` allow, and hissing.
    """
    sounds = np.array([SOUNDS[letter] for letter in word])
    lasts = sounds[:, 6] * slowness * rng.uniform(0.85, 1.15, len(word))
    t = np.arange(round(lasts.sum() * rate)) / rate
    middles = np.cumsum(lasts) - lasts / 2
    f1, f2, f3, voice, hiss, loud, _ = (np.interp(t, middles, column) for column in sounds.T)
    phase = np.cumsum(pitch * (1.1 - 0.2 * t / t[-1] + 0.02 * np.sin(35 * t))) / rate
    harmonics = np.arange(1, int(rate / 2.3 / pitch))[:, None]
    response: Any = sum(1 / (1 + ((harmonics * pitch - f * size) / 90) ** 2) for f in (f1, f2, f3))
    tone = voice * (response * np.sin(2 * np.pi * harmonics * phase)).sum(0)
    noise, room = rng.normal(size=(2, len(t), 2)).view(np.complex128)[..., 0]
    centre = np.exp(2j * np.pi * np.cumsum(hiss * np.where(loud > 0, size, 0)) / rate)
    hissing = loud * (np.convolve(noise, np.hanning(9), "same") * centre).real
    samples = tone + hissing + rng.uniform(0.02, 0.3) * room.real
    return samples / np.abs(samples).max() * rng.uniform(0.3, 0.9)  # type: ignore[no-any-return]


# --- genes ----------------------------------------------------------------------------------------

STOPS = ("TAA", "TAG", "TGA")
CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in STOPS]
USAGE = np.random.default_rng(1).dirichlet(np.full(len(CODONS), 0.3))
"""How often each codon occurs in a gene: some are preferred, as by any organism."""


def make_dna(rng: Rng, genes: int) -> FastaRecord:
    """So many genes, ATG to the first stop codon in frame, with as many bases at random between."""
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
    """Notes of eight bars of `STEPS_PER_BAR` steps, and the seven of a keyboard's twelve, keys
    modulo 12, that are in its major or minor key.

    There is a melody, and a chord below it where a bar begins. The form is A A' B A', two bars
    each: A' begins like A and ends on the tonic.
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
    """A bar that begins on a note of the chord: degrees of the scale, and lengths in steps."""
    first, rhythm = chord + rng.choice([0, 2, 4]), RHYTHMS[rng.integers(len(RHYTHMS))]
    way = np.cumsum([0, *rng.choice([-2, -1, -1, 0, 1, 1, 2], len(rhythm) - 1)])
    return list(zip(np.clip(first + way, -2, 9).tolist(), rhythm, strict=True))
