"""Notes in MIDI files, as tokens for a language model, as piano rolls, and as sound.

Reading and writing MIDI files requires mido, which the extra `examples` installs.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autograd.runtime.deprecation import RenamedAttribute

from ...errors import InputError
from ...summary import summary_repr
from ..files import PathLike, display_name, read_bytes
from ..vocabulary import Ids

NUM_KEYS, LOWEST_PITCH, DRUM_CHANNEL = 88, 21, 9
"""The number of piano keys, the MIDI pitch of the lowest key, and the channel of the drums."""

NUM_TIME_SHIFTS = 17
"""The number of time shifts from a note to the next note: 0 (simultaneous) to 16 steps or more."""
NUM_TOKENS = NUM_KEYS * NUM_TIME_SHIFTS

MAX_STEPS = 1 << 17
"""Maximum length of a piece in steps: more than four hours of quarter beats at 120 beats per
minute. A file of 37 bytes can claim a billion steps."""
MAX_SECONDS = 3600
"""Maximum length of the sound that `synthesize` returns."""
_ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{4096}")
"""Continuation bytes of a variable-length number. MIDI allows at most 4; mido reads any number of
them in quadratic time."""


class Note(NamedTuple):
    """A note.

    Parameters
    ----------
    start : int
        The step at which the note begins.
    key : int
        The piano key, from 0 to 87; middle C is 39.
    length : int
        The duration in steps.
    """

    start: int
    key: int
    length: int


def read_midi(path: PathLike, steps_per_beat: int = 4) -> list[Note]:
    """Read the notes of a MIDI file.

    Times are rounded to the nearest step. Drums are omitted, and notes outside the range of a piano
    are transposed by octaves.

    Parameters
    ----------
    path : path
        The file, which may be compressed by gzip.
    steps_per_beat : int, default 4
        Number of steps per beat.

    Returns
    -------
    list of Note
        The notes, sorted by start and key.

    Raises
    ------
    InputError
        If the file is not valid MIDI, contains no notes, or is longer than 131,072 steps, or if
        mido is not installed.
    """
    name, mido = display_name(path), _import_mido()
    content = read_bytes(path, "a MIDI file")
    if _ENDLESS_NUMBER.search(content):
        raise InputError(f"{name}: contains a number of too many bytes; expected a MIDI file")
    try:
        file = mido.MidiFile(file=io.BytesIO(content), clip=True)
        messages = list(file.merged_track)
    except (OSError, EOFError, ValueError, LookupError, TypeError, mido.KeySignatureError) as error:
        raise InputError(
            f"{name}: {str(error) or 'ends too early'}; expected a MIDI file"
        ) from error
    if file.ticks_per_beat <= 0:
        raise InputError(f"{name}: measures time in video frames; expected a file with beats")
    notes: dict[tuple[int, int], int] = {}
    active: dict[tuple[int, int], int] = {}
    ticks = 0
    for message in messages:
        ticks += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUM_CHANNEL:
            continue
        if ticks * steps_per_beat > MAX_STEPS * file.ticks_per_beat:
            raise InputError(
                f"{name}: is longer than {MAX_STEPS} steps, at {steps_per_beat} steps per beat"
            )
        now = round(ticks * steps_per_beat / file.ticks_per_beat)
        if (start := active.pop((message.channel, message.note), None)) is not None:
            key = _transpose_to_piano(message.note - LOWEST_PITCH)
            notes[start, key] = max(notes.get((start, key), 1), now - start)
        if message.type == "note_on" and message.velocity:
            active[message.channel, message.note] = now
    if not notes:
        raise InputError(f"{name}: contains no notes (drums are not counted)")
    return [Note(start, key, length) for (start, key), length in sorted(notes.items())]


def write_midi(
    path: PathLike, notes: Iterable[Note], steps_per_beat: int = 4, tempo: float = 120
) -> None:
    """Write notes as a MIDI file for a piano.

    Parameters
    ----------
    path : path
        The file.
    notes : iterable of Note
        The notes.
    steps_per_beat : int, default 4
        Number of steps per beat.
    tempo : float, default 120
        Beats per minute.

    Raises
    ------
    InputError
        If mido is not installed.
    """
    mido = _import_mido()
    file = mido.MidiFile(ticks_per_beat=24 * steps_per_beat)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
    file.tracks.append(track)
    events = [
        (start + length * (not on), on, key) for start, key, length in notes for on in (False, True)
    ]
    now = 0
    for time, on, key in sorted(events):
        kind, wait = "note_on" if on else "note_off", 24 * (time - now)
        track.append(mido.Message(kind, note=key + LOWEST_PITCH, velocity=80 * on, time=wait))
        now = time
    file.save(os.fspath(path))


def notes_to_tokens(notes: Sequence[Note]) -> Ids:
    """Return one token (n,) per note, which combines the key and the time shift to the next note.

    Simultaneous notes have a time shift of 0, so that tokens also represent chords and several
    voices.
    """
    starts = np.array([note.start for note in notes])
    shifts = np.diff(starts, append=starts[-1:] + [note.length for note in notes[-1:]])
    keys = np.array([note.key for note in notes])
    return keys * NUM_TIME_SHIFTS + np.minimum(shifts, NUM_TIME_SHIFTS - 1)


def tokens_to_notes(tokens: npt.ArrayLike) -> list[Note]:
    """Return the notes of tokens; each note lasts until a later note begins."""
    keys, shifts = np.divmod(np.asarray(tokens, np.int64), NUM_TIME_SHIFTS)
    starts = np.cumsum(shifts) - shifts
    ends = np.append(starts, starts[-1:] + shifts[-1:])[np.searchsorted(starts, starts, "right")]
    lengths = np.maximum(ends - starts, 1)
    return [Note(*map(int, note)) for note in zip(starts, keys, lengths, strict=True)]


@dataclass(frozen=True)
class NoteVocabulary:
    """Vocabulary of the tokens of a collection of pieces, with ids from 1; 0 is reserved."""

    tokens: tuple[int, ...]

    __repr__ = summary_repr
    of = RenamedAttribute("from_pieces")

    @classmethod
    def from_pieces(cls, pieces: Iterable[Sequence[Note]]) -> NoteVocabulary:
        """Create the vocabulary of all tokens of the pieces."""
        tokens = [np.unique(notes_to_tokens(notes)) for notes in pieces]
        return cls(tuple(np.unique(np.concatenate([np.zeros(0, np.int64), *tokens])).tolist()))

    def __len__(self) -> int:
        return 1 + len(self.tokens)

    def encode(self, notes: Sequence[Note]) -> Ids:
        """Return the ids (n,) of the notes' tokens.

        An unknown token becomes the nearest token, which is usually the same key with another time
        shift.
        """
        nearest: Ids = np.abs(notes_to_tokens(notes)[:, None] - np.array(self.tokens)).argmin(1)
        return 1 + nearest

    def decode(self, ids: npt.ArrayLike) -> list[Note]:
        """Return the notes with the given ids, as `tokens_to_notes` does."""
        return tokens_to_notes(np.array(self.tokens)[np.asarray(ids, np.int64) - 1])


def piano_roll(notes: Sequence[Note]) -> npt.NDArray[np.float32]:
    """Return the piano roll (T, 88): 1 where a key is active at a step, else 0.

    A piece of more than `MAX_STEPS` steps raises InputError.
    """
    steps = max(start + length for start, _, length in notes)
    if steps > MAX_STEPS:
        raise InputError(f"a piece of {steps} steps is too long; the maximum is {MAX_STEPS}")
    roll = np.zeros((steps, NUM_KEYS), np.float32)
    for start, key, length in notes:
        roll[start : start + length, key] = 1
    return roll


def synthesize(
    notes: Sequence[Note], rate: int = 22050, steps_per_beat: int = 4, tempo: float = 120
) -> npt.NDArray[np.float64]:
    """Return samples (n,) from -1 to 1 of the notes, as decaying sums of sines.

    A sound of more than `MAX_SECONDS` seconds raises InputError.
    """
    step = 60 / tempo / steps_per_beat
    seconds = max(n.start + n.length for n in notes) * step + 1
    if seconds > MAX_SECONDS:
        raise InputError(
            f"a sound of {seconds:.0f} seconds is too long; the maximum is {MAX_SECONDS}"
        )
    samples: npt.NDArray[np.float64] = np.zeros(round(seconds * rate))
    for start, key, length in notes:
        t = np.arange(round((length * step + 0.3) * rate)) / rate
        pitch = 440 * 2 ** ((key + LOWEST_PITCH - 69) / 12)
        tone = sum(
            np.sin(2 * np.pi * pitch * k * t) / k**2 for k in range(1, 5) if pitch * k < rate / 2
        )
        fade = np.exp(-3 * t) * np.minimum(1, t / 0.005) * np.clip((t[-1] - t) / 0.3, 0, 1)
        samples[(begin := round(start * step * rate)) : begin + len(t)] += tone * fade
    samples /= max(1e-9, np.abs(samples).max())
    return samples


def _transpose_to_piano(key: int) -> int:
    """Transpose a key by octaves into the range of a piano."""
    return key + 12 * -(min(key, 0) // 12) if key < 0 else key - 12 * -(-max(key - 87, 0) // 12)


def _import_mido() -> Any:
    try:
        import mido
    except ImportError as error:
        raise InputError("MIDI files require mido: pip install 'tinygrad-rnn[examples]'") from error
    return mido
