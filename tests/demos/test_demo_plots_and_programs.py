"""Scenes and films are what their words say; `python_writer` counts what it says that it counts."""

import ast

import numpy as np
import pytest

from tinygrad_rnn.data.generators import programs, scenes
from tinygrad_rnn.demos.scripts import find_scripts

pytestmark = [pytest.mark.host, pytest.mark.demo]


def test_a_caption_says_what_is_to_be_seen() -> None:
    """Shapes are found by their pixels and counted, and all are in the corner that is said."""
    rng = np.random.default_rng(0)
    for unseen in (False, True):
        for _ in range(60):
            picture, words = scenes.make_scene(rng, unseen)
            assert set(words) <= set(scenes.CAPTION_WORDS)
            count, colour, name, *_, up, left = words
            n, corner = scenes.COUNTS.index(count), scenes.CORNERS.index(f"{up} {left}")
            shape = name if n == 0 else name[:-1]
            painted = np.all(picture == np.float32(scenes.COLORS[colour]), axis=-1)
            assert painted.sum() == (n + 1) * scenes.SHAPES[shape].sum()
            assert (picture.max(-1) > 0.25).sum() == painted.sum()
            rows, columns = np.nonzero(painted)
            assert set(rows // 16) == {0 if up == "top" else 1}
            assert set(columns // 16) == {0 if left == "left" else 1}
            colours, shapes = [*scenes.COLORS], [*scenes.SHAPES]
            total = n + colours.index(colour) + shapes.index(shape) + corner
            assert (total % 6 == 0) == unseen


def test_a_film_does_what_its_names_and_its_sentence_say() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        frames, events, words = scenes.make_video(rng, noise=0)
        assert len(frames) == len(events)
        assert set(events) <= set(scenes.EVENTS)
        assert set(words) <= set(scenes.VIDEO_WORDS)
        assert words[2] in scenes.SPRITES
        assert set(frames.sum((1, 2))) <= {0, scenes.SPRITES[words[2]].sum()}
        step, places = 2 if words[1] == "fast" else 1, []
        for frame in frames:
            seen = np.argwhere(frame)
            places.append(seen.min(0) if len(seen) else None)
        way = np.array(scenes.DIRECTIONS[words[4]])
        assert events[0] == "appears"
        assert events[1] == words[4]
        for before, after, event in zip(places, places[1:], events[1:], strict=False):
            if event in scenes.DIRECTIONS:
                assert (after - before == step * np.array(scenes.DIRECTIONS[event])).all()
            elif event == "bounces":
                assert abs(after - before).sum() == step
                way = -way
                assert (after - before == step * way).all()
            else:
                assert after is None
                assert (before is None) == (event == "nothing")
        told = ["", "bounces", "bounces twice", "bounces thrice"][events.count("bounces")]
        assert (told or "moves") in " ".join(words)
        assert ("bounces" in words) == bool(told)
        assert ("vanishes" in words) == ("vanishes" in events)


def test_statements_are_counted_as_the_page_says() -> None:
    module = find_scripts()["python_writer"].load_module()
    text = (
        "import os\n\n@cache\ndef f(x):\n    return x\nclass C:\n    pass\n# no\nx = (1\ny = f(2)\n"
        "if x:\n    z = 1\nelse:\n    pass\nimport ast, re\nasync def g():\n    pass\niffy = 2\n"
    )
    lines = module.find_statements(text)
    assert lines == ["import os", "x = (1", "y = f(2)", "import ast, re", "iffy = 2"]
    assert module.parsing_fraction(lines) == 4 / 5
    assert module.parsing_fraction([]) == 0


def test_the_library_is_code_alone() -> None:
    module = find_scripts()["python_writer"].load_module()
    text = programs.sample_library(np.random.default_rng(0), 50_000, max_file_size=6000)
    assert len(text) >= 50_000
    for file in text.split(programs.FILE_SEPARATOR)[1:]:
        assert len(file) <= 6000
        tree = ast.parse(file)
        assert ast.unparse(tree) == file.expandtabs(4)
        nodes = [
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        assert not any(ast.get_docstring(node) for node in nodes)
    assert module.parsing_fraction(module.find_statements(text)) == 1
