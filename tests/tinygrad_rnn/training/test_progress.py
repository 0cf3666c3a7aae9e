"""Formats of the progress display."""

import pytest

from tinygrad_rnn.training.progress import format_duration

pytestmark = pytest.mark.host


@pytest.mark.parametrize(("seconds", "text"), [(7.4, "0:07"), (754, "12:34"), (3723, "1:02:03")])
def test_durations_are_formatted_as_hours_minutes_and_seconds(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
