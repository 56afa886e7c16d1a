"""Clocks that tests set by hand."""


class ManualClock:
    """Unix ms that change when a test says so, or when code sleeps by it."""

    def __init__(self, ms: int) -> None:
        self.ms: float = ms
        self.slept_seconds = 0.0
        """Seconds waited so far."""

    def __call__(self) -> int:
        return int(self.ms)

    def sleep(self, seconds: float) -> None:
        """Let time pass, which is all that waiting does."""
        self.slept_seconds += seconds
        self.ms += seconds * 1000

    def monotonic(self) -> float:
        """Seconds of a clock that agrees with this one."""
        return self.ms / 1000
