"""Clocks that tests set by hand."""


class HandClock:
    """Unix ms that change when a test says so, or when somebody waits."""

    def __init__(self, ms: int) -> None:
        self.ms: float = ms
        self.waited = 0.0
        """Seconds waited so far."""

    def __call__(self) -> int:
        return int(self.ms)

    def wait(self, seconds: float) -> None:
        """Let time pass, which is all that waiting does."""
        self.waited += seconds
        self.ms += seconds * 1000

    def monotonic(self) -> float:
        """Seconds of a clock that agrees with this one."""
        return self.ms / 1000
