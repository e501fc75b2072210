"""Reads server-sent events as they come in."""

from __future__ import annotations

import codecs

MAX_EVENT_CHARACTERS = 2**20


class EventsError(Exception):
    """What came is not a stream of events; the text says why. Never leaves this package."""


class Events:
    """Takes bytes in pieces and gives the data of each event that is whole [std: WHATWG server-sent events]."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[str]:
        """Return the data of the events that ``piece`` ends; raises `EventsError` for a line without end."""
        text = self._rest + self._decoder.decode(piece)
        held = text.endswith("\r")  # its line feed may come with the next piece
        lines = text.replace("\r\n", "\n").split("\n") if not held else text[:-1].replace("\r\n", "\n").split("\n")
        self._rest = lines.pop() + ("\r" if held else "")
        if len(self._rest) > MAX_EVENT_CHARACTERS:
            raise EventsError(f"a line of more than {MAX_EVENT_CHARACTERS >> 20} MiB")
        return [data for line in lines if (data := self._line(line.rstrip("\r"))) is not None]

    def _line(self, line: str) -> str | None:
        """Take one line; return an event's data where the line, being empty, ends one."""
        if line:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            elif name not in ("", "event", "id", "retry"):
                raise EventsError(f"{line[:40]!r} is no line of an event stream")
            return None
        data, self._data = self._data, []
        return "\n".join(data) if data else None
