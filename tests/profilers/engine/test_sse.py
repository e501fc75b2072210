"""Events are the same however the stream is cut, and what is no event stream is said to be none."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.engine.sse import MAX_EVENT_CHARACTERS, Events, EventsError

STREAM = (
    'data: {"a": 1}\r\n\r\n: a comment\n\ndata: two\ndata: lines\n\nevent: x\nid: 3\ndata: größer ☃\n\ndata: [DONE]\n\n'
)
WHOLE = ['{"a": 1}', "two\nlines", "größer ☃", "[DONE]"]


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=8))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    data, events = STREAM.encode(), Events()
    places = [0, *sorted(cuts), len(data)]
    found = [one for low, high in pairwise(places) for one in events.feed(data[low:high])]
    assert found == WHOLE


@pytest.mark.parametrize("data", [b"<html>\n", b"{}\n", b"data\x00: x\n\n"])
def test_what_is_no_event_stream_is_refused(data: bytes) -> None:
    with pytest.raises(EventsError, match="no line of an event stream"):
        Events().feed(data)


def test_a_line_without_end_is_refused() -> None:
    events = Events()
    assert events.feed(b"x" * MAX_EVENT_CHARACTERS) == []
    with pytest.raises(EventsError, match="a line of more than"):
        events.feed(b"x")


@given(st.binary(max_size=300))
def test_any_bytes_end_in_events_or_an_error(data: bytes) -> None:
    with suppress(EventsError):
        assert all(isinstance(one, str) for one in Events().feed(data))
