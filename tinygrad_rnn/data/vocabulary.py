"""Vocabularies: the mapping between characters or tokens and integer ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from autograd.runtime.deprecation import (
    RenamedAttribute,
    renamed_parameters,
)

from ..compatibility import renamed_state
from ..errors import InputError
from ..summary import summary_repr

Ids = npt.NDArray[np.int64]

PADDING, UNKNOWN, BEGIN, END = range(4)
"""Ids of the special tokens: padding, unknown token, beginning and end of a sequence."""

NUM_SPECIAL = 4


@dataclass(frozen=True)
class Vocabulary:
    """A character vocabulary: the sorted characters, with ids from 0.

    Parameters
    ----------
    characters : iterable of str
        The characters, in any order; duplicates are ignored.

    Examples
    --------
    >>> vocabulary = Vocabulary("hello")
    >>> vocabulary.characters
    ('e', 'h', 'l', 'o')
    >>> vocabulary.encode("hole").tolist()
    [1, 3, 2, 0]
    """

    characters: tuple[str, ...]

    __repr__ = summary_repr

    def __init__(self, characters: Iterable[str]) -> None:
        object.__setattr__(self, "characters", tuple(sorted(set(characters))))

    def __len__(self) -> int:
        return len(self.characters)

    @cached_property
    def _codes(self) -> npt.NDArray[np.uint32]:
        """The code points of the characters, ascending."""
        return np.array([ord(character) for character in self.characters], dtype="<u4")

    def encode(self, text: str) -> Ids:
        """Return the ids of the characters of a text.

        Parameters
        ----------
        text : str
            The text.

        Returns
        -------
        ndarray of int64, shape (len(text),)
            The ids.

        Raises
        ------
        InputError
            If the text contains characters that are not in the vocabulary. The message names them
            and their first positions.
        """
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids = np.searchsorted(self._codes, codes)
        is_known = np.isin(codes, self._codes)
        if not is_known.all():
            raise InputError(self._unknown(text, np.flatnonzero(~is_known)))
        return ids.astype(np.int64)

    def _unknown(self, text: str, positions: npt.NDArray[np.intp], limit: int = 5) -> str:
        """Return a message that names up to `limit` of the unknown characters at `positions`."""
        first = {text[position]: position for position in positions[::-1].tolist()}
        unknown = sorted(first.items(), key=lambda item: item[1])
        names = [
            f"{c!r} (U+{ord(c):04X}) at position {position}" for c, position in unknown[:limit]
        ]
        if len(unknown) > limit:
            names.append(f"and {len(unknown) - limit} more")
        return f"not among the {len(self)} characters of the vocabulary: " + ", ".join(names)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text with the given ids.

        Parameters
        ----------
        ids : array_like of int, shape (n,)
            Ids of characters.

        Returns
        -------
        str
            The text.
        """
        codes = self._codes[np.asarray(ids, dtype=np.int64)]
        return codes.tobytes().decode("utf-32-le", "surrogatepass")


@dataclass(frozen=True)
class TokenVocabulary:
    """A vocabulary of tokens, such as words, with special tokens.

    The ids 0 to 3 are the special tokens `PADDING`, `UNKNOWN`, `BEGIN` and `END`; the other tokens
    have ids from 4.

    Parameters
    ----------
    tokens : tuple of str
        The tokens, without the special tokens.

    Examples
    --------
    >>> vocabulary = TokenVocabulary.from_texts([["a", "b"], ["c"]])
    >>> vocabulary.encode(["c", "d"]).tolist()
    [6, 1]
    >>> vocabulary.encode_target(["c"]).tolist()
    [2, 6, 3]
    """

    tokens: tuple[str, ...]

    __repr__ = summary_repr
    words = RenamedAttribute("tokens")
    framed = RenamedAttribute("encode_target")
    of = RenamedAttribute("from_texts")
    __setstate__ = renamed_state(words="tokens")

    @classmethod
    def from_texts(cls, texts: Iterable[Iterable[str]]) -> TokenVocabulary:
        """Create a vocabulary from tokenized texts.

        Parameters
        ----------
        texts : iterable of iterable of str
            The tokens of each text.

        Returns
        -------
        TokenVocabulary
            The distinct tokens of all texts, sorted.
        """
        return cls(tuple(sorted({token for text in texts for token in text})))

    def __len__(self) -> int:
        return NUM_SPECIAL + len(self.tokens)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens, NUM_SPECIAL)}

    @renamed_parameters(words="tokens")
    def encode(self, tokens: Iterable[str]) -> Ids:
        """Return the ids of tokens.

        Parameters
        ----------
        tokens : iterable of str
            The tokens.

        Returns
        -------
        ndarray of int64, shape (n,)
            The ids; `UNKNOWN` for tokens that are not in the vocabulary.
        """
        ids = self._ids
        return np.array([ids.get(token, UNKNOWN) for token in tokens], dtype=np.int64)

    @renamed_parameters(words="tokens")
    def encode_target(self, tokens: Iterable[str]) -> Ids:
        """Return the ids of tokens between `BEGIN` and `END`, as decoders require them.

        Parameters
        ----------
        tokens : iterable of str
            The tokens.

        Returns
        -------
        ndarray of int64, shape (n + 2,)
            The ids.
        """
        return np.array([BEGIN, *self.encode(tokens), END])

    def decode(self, ids: npt.ArrayLike) -> list[str]:
        """Return the tokens with the given ids.

        Parameters
        ----------
        ids : array_like of int, shape (n,)
            The ids.

        Returns
        -------
        list of str
            The tokens before the first `END`, without padding; "?" for `UNKNOWN`.
        """
        tokens = []
        for number in np.asarray(ids, dtype=np.int64).tolist():
            if number == END:
                break
            if number not in (PADDING, BEGIN):
                tokens.append("?" if number == UNKNOWN else self.tokens[number - NUM_SPECIAL])
        return tokens
