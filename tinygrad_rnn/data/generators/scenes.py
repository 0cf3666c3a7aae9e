"""Generated images and videos of shapes, with their captions.

The argument `rng` is a NumPy generator; equal seeds give equal data.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rng = np.random.Generator

# --- images ---------------------------------------------------------------------------------------

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
    """Generate an image (32, 32, 3) of up to four equal shapes on noise, and its caption.

    A caption is for example "two red circles at the top left". One sixth of the combinations of
    count, color, shape and corner is reserved for images that are `unseen` in training.
    """
    sizes = len(COUNTS), len(COLORS), len(SHAPES), len(CORNERS)
    combination = rng.integers(sizes)
    while (combination.sum() % 6 == 0) != unseen:
        combination = rng.integers(sizes)
    n, color, shape, corner = combination.tolist()
    image = rng.uniform(0, 0.25, (32, 32, 3)).astype(np.float32)
    for cell in rng.permutation(4)[: n + 1]:
        y = 16 * (corner // 2) + 8 * (cell // 2) + rng.integers(0, 3)
        x = 16 * (corner % 2) + 8 * (cell % 2) + rng.integers(0, 3)
        image[y : y + 6, x : x + 6][[*SHAPES.values()][shape]] = [*COLORS.values()][color]
    words = [COUNTS[n], [*COLORS][color], [*SHAPES][shape] + "s" * (n > 0)]
    return image, [*words, "at", "the", *CORNERS[corner].split()]


# --- videos ---------------------------------------------------------------------------------------

FRAME_SIZE, MIN_FRAMES, MAX_FRAMES = 14, 8, 16
"""The height and width of a frame in pixels, and the limits of the number of frames."""
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
    """Generate a video of a shape that moves, bounces off the edges and sometimes vanishes.

    Returns
    -------
    frames : ndarray of float32, shape (T, 14, 14)
        The frames; `noise` is the standard deviation of the noise in each pixel.
    events : list of str
        The entry of `EVENTS` for each frame.
    words : list of str
        A description, such as "a fast ring moves left bounces and vanishes".
    """
    length = int(rng.integers(MIN_FRAMES, MAX_FRAMES + 1))
    end = int(rng.integers(4, length)) if rng.random() < 0.5 else length
    sprite, direction = rng.choice(list(SPRITES)), rng.choice(list(DIRECTIONS))
    fast = rng.random() < 0.5
    velocity, events, bounces = (1 + fast) * np.array(DIRECTIONS[direction]), ["appears"], 0
    position = rng.integers(0, FRAME_SIZE - 2, 2)
    while not _is_inside(position + velocity):  # the first step must show the direction
        position = rng.integers(0, FRAME_SIZE - 2, 2)
    frames = rng.normal(0, noise, (length, FRAME_SIZE, FRAME_SIZE)).astype(np.float32)
    for t in range(end):
        if t > 0:
            free = _is_inside(position + velocity)
            velocity, bounces = velocity if free else -velocity, bounces + (not free)
            position = position + velocity
            events.append(_direction_name(velocity) if free else "bounces")
        y, x = position
        frames[t, y : y + 3, x : x + 3] += SPRITES[sprite]
    events += ["vanishes"] * (end < length) + ["nothing"] * (length - end - 1)
    speed = "fast" if fast else "slow"
    words = ["a", speed, str(sprite), "moves", str(direction), *BOUNCES[bounces]]
    return frames, events, words + ["and", "vanishes"] * (end < length)


def _is_inside(position: npt.NDArray[np.int64]) -> bool:
    return bool(np.all((position >= 0) & (position <= FRAME_SIZE - 3)))


def _direction_name(velocity: npt.NDArray[np.int64]) -> str:
    return next(
        name for name, step in DIRECTIONS.items() if np.array_equal(np.sign(velocity), step)
    )
