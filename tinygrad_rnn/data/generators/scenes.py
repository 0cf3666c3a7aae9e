"""Pictures and films of shapes, made together with what is to be said of them.

`rng` is a NumPy generator throughout: the same seed makes the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rng = np.random.Generator

# --- pictures -------------------------------------------------------------------------------------

COUNTS = ("a", "two", "three", "four")
CORNERS = ("top left", "top right", "bottom left", "bottom right")
COLORS = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.7, 0.2),
    "blue": (0.2, 0.3, 1.0),
    "yellow": (1.0, 0.9, 0.1),
    "pink": (1.0, 0.5, 0.8),
    "white": (1.0, 1.0, 1.0),
}
_y, _x = np.mgrid[-2.5:3, -2.5:3]
SHAPES = {
    "circle": _x**2 + _y**2 < 6.6,
    "square": np.maximum(abs(_x), abs(_y)) < 3,
    "triangle": abs(_x) <= (_y + 3) / 2,
    "ring": abs(_x**2 + _y**2 - 5.6) < 3,
}
PLACES = ("at", "the", "top", "bottom", "left", "right")
CAPTION_WORDS = (*COUNTS, *COLORS, *SHAPES, *PLACES, *(f"{name}s" for name in SHAPES))


def make_scene(rng: Rng, unseen: bool = False) -> tuple[Floats, list[str]]:
    """A picture (32, 32, 3) of up to four equal shapes on noise, and its caption in words, such as
    "two red circles at the top left".

    Of the combinations of count, color, shape and corner every sixth is kept for the pictures of
    what is `unseen`, and those show nothing else.
    """
    kinds = len(COUNTS), len(COLORS), len(SHAPES), len(CORNERS)
    chosen = rng.integers(kinds)
    while (chosen.sum() % 6 == 0) != unseen:
        chosen = rng.integers(kinds)
    n, color, form, corner = chosen.tolist()
    picture = rng.uniform(0, 0.25, (32, 32, 3)).astype(np.float32)
    for place in rng.permutation(4)[: n + 1]:
        y = 16 * (corner // 2) + 8 * (place // 2) + rng.integers(0, 3)
        x = 16 * (corner % 2) + 8 * (place % 2) + rng.integers(0, 3)
        picture[y : y + 6, x : x + 6][[*SHAPES.values()][form]] = [*COLORS.values()][color]
    words = [COUNTS[n], [*COLORS][color], [*SHAPES][form] + "s" * (n > 0)]
    return picture, [*words, "at", "the", *CORNERS[corner].split()]


# --- films ----------------------------------------------------------------------------------------

FRAME_SIZE, MIN_FRAMES, MAX_FRAMES = 14, 8, 16
"""Pixels of a side, and how many frames a film has."""
SPRITES = {
    "square": np.ones((3, 3)),
    "cross": np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]),
    "ring": np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]),
}
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
EVENTS = ("appears", *DIRECTIONS, "bounces", "vanishes", "nothing")
BOUNCES: tuple[list[str], ...] = ([], ["bounces"], ["bounces", "twice"], ["bounces", "thrice"])
VIDEO_WORDS = tuple(
    sorted({"a", "slow", "fast", "moves", "and", "vanishes", *SPRITES, *DIRECTIONS}.union(*BOUNCES))
)


def make_video(rng: Rng, noise: float = 0.05) -> tuple[Floats, list[str], list[str]]:
    """Frames (T, 14, 14) in which a shape moves, slowly or fast, bounces off the edge, and
    sometimes vanishes; which of `EVENTS` happens in each; and what happens in words, such as "a
    fast ring moves left bounces and vanishes". `noise` is the standard deviation of each pixel's.
    """
    length = int(rng.integers(MIN_FRAMES, MAX_FRAMES + 1))
    end = int(rng.integers(4, length)) if rng.random() < 0.5 else length
    shape, way, fast = rng.choice(list(SPRITES)), rng.choice(list(DIRECTIONS)), rng.random() < 0.5
    velocity, events, bounces = (1 + fast) * np.array(DIRECTIONS[way]), ["appears"], 0
    place = rng.integers(0, FRAME_SIZE - 2, 2)
    while not _inside(place + velocity):  # what bounces at once is never seen to move that way
        place = rng.integers(0, FRAME_SIZE - 2, 2)
    frames = rng.normal(0, noise, (length, FRAME_SIZE, FRAME_SIZE)).astype(np.float32)
    for t in range(end):
        if t > 0:
            free = _inside(place + velocity)
            velocity, bounces = velocity if free else -velocity, bounces + (not free)
            place = place + velocity
            events.append(_way(velocity) if free else "bounces")
        y, x = place
        frames[t, y : y + 3, x : x + 3] += SPRITES[shape]
    events += ["vanishes"] * (end < length) + ["nothing"] * (length - end - 1)
    words = ["a", "fast" if fast else "slow", str(shape), "moves", str(way), *BOUNCES[bounces]]
    return frames, events, words + ["and", "vanishes"] * (end < length)


def _inside(place: npt.NDArray[np.int64]) -> bool:
    return bool(np.all((place >= 0) & (place <= FRAME_SIZE - 3)))


def _way(velocity: npt.NDArray[np.int64]) -> str:
    return next(
        name for name, step in DIRECTIONS.items() if np.array_equal(np.sign(velocity), step)
    )
