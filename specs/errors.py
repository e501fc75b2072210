"""The errors a user can cause, each a noun with an exit code and a message that ends in a cure."""

from __future__ import annotations


class TonnageError(Exception):
    """Base of every error that is shown as one message and never as a traceback.

    ``exit_code`` is what the command line returns. The message says what happened, where and why;
    ``cure`` says what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  {self.cure}" if self.cure else self.message


class InputError(TonnageError):
    """What the user gave is wrong: a document, a flag, a trace, a file that is not there (exit 2)."""

    exit_code = 2


class InfeasibleError(TonnageError):
    """No deployment can satisfy what was asked; raised only where no plan can carry the answer (exit 3)."""

    exit_code = 3


class MissingHardwareError(TonnageError):
    """The hardware, endpoint, permission or optional dependency needed is not there (exit 4)."""

    exit_code = 4


class DriftError(TonnageError):
    """A re-measured figure moved by more than its noise (exit 5)."""

    exit_code = 5


class ViolatedError(TonnageError):
    """A check found the prediction or the SLO violated (exit 6)."""

    exit_code = 6
