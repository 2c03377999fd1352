"""Whether operations are recorded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Mode(threading.local):
    recording = True


_mode = _Mode()


def is_recording() -> bool:
    """Whether operations on this thread are put on the tape."""
    return _mode.recording


@contextmanager
def no_grad() -> Iterator[None]:
    """Within it, results need no gradient and nothing is saved."""
    before, _mode.recording = _mode.recording, False
    try:
        yield
    finally:
        _mode.recording = before


@contextmanager
def enable_grad() -> Iterator[None]:
    """Within it, operations are recorded, also inside `no_grad`."""
    before, _mode.recording = _mode.recording, True
    try:
        yield
    finally:
        _mode.recording = before
