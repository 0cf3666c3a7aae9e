"""Character and token vocabularies."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_rnn import data
from tinygrad_rnn.data import Vocabulary
from tinygrad_rnn.data.vocabulary import BEGIN, END
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host  # texts and ids are on the host

texts = st.text(st.characters(codec=None), min_size=1)


@given(texts)
@example("caf\udce9")  # an undecodable byte on the command line
def test_a_vocabulary_decodes_what_it_encoded(text: str) -> None:
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert [vocabulary.characters[i] for i in ids] == list(text)
    assert vocabulary.decode(ids) == text


@given(texts)
def test_a_vocabulary_is_the_sorted_set_of_characters(text: str) -> None:
    vocabulary = Vocabulary(text)
    assert vocabulary.characters == tuple(sorted(set(text)))
    assert len(vocabulary) == len(set(text))
    assert vocabulary == Vocabulary(reversed(text))


def test_a_vocabulary_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Vocabulary("abc").characters = ()  # type: ignore[misc]


def test_the_empty_text_has_no_ids() -> None:
    assert Vocabulary("abc").encode("").shape == (0,)
    assert Vocabulary("abc").decode([]) == ""


def test_the_error_names_unknown_characters_and_their_first_positions() -> None:
    with pytest.raises(InputError) as error:
        Vocabulary("abc").encode("abéa\x00é")
    assert "'é' (U+00E9) at position 2, '\\x00' (U+0000) at position 4" in str(error.value)
    assert "3 characters" in str(error.value)


def test_many_unknown_characters_are_counted() -> None:
    with pytest.raises(InputError, match=r"'v' \(U\+0076\) at position 5, and 4 more"):
        Vocabulary("abc").encode("arstuvwxyz")


@given(known=texts, text=texts)
def test_encoding_raises_exactly_if_a_character_is_unknown(known: str, text: str) -> None:
    if set(text) <= set(known):
        assert Vocabulary(known).decode(Vocabulary(known).encode(text)) == text
    else:
        with pytest.raises(InputError):
            Vocabulary(known).encode(text)


words = st.lists(st.text("abc", min_size=1), max_size=5)


@given(st.lists(words, max_size=5), words)
def test_a_token_vocabulary_decodes_known_tokens(texts: list[list[str]], text: list[str]) -> None:
    vocabulary = data.TokenVocabulary.from_texts(texts)
    known = {word for text in texts for word in text}
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == [word if word in known else "?" for word in text]
    assert vocabulary.decode([BEGIN, *ids, 0, END, 4]) == vocabulary.decode(ids)
    assert vocabulary.encode_target(text).tolist() == [BEGIN, *ids, END]
    assert all(number < len(vocabulary) for number in ids)
