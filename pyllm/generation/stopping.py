"""Stop strings in streamed text: text is held back while it could be the start of one."""


class StopFilter:
    """Passes text through until a stop string occurs; neither it nor what follows is passed.

    Raises:
        ValueError: a stop string is empty.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        if any(not s for s in stop):
            raise ValueError("stop: expected non-empty strings")
        self._stop = stop
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """What of the held and the new text is certain to stand before any stop string."""
        if self.stopped:
            return ""
        self._held += text
        found = [at for s in self._stop if (at := self._held.find(s)) >= 0]
        if found:
            self.stopped = True
            passed, self._held = self._held[: min(found)], ""
            return passed
        keep = max((_overlap(self._held, s) for s in self._stop), default=0)
        cut = len(self._held) - keep
        passed, self._held = self._held[:cut], self._held[cut:]
        return passed

    def flush(self) -> str:
        """The text still held, when nothing more will come."""
        passed, self._held = self._held, ""
        return passed


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for n in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0
