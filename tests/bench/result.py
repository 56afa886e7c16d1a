"""One row of the table of `make bench`."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Result:
    """What was measured beside what, in the same run, and the ratio that it has to reach."""

    what: str
    ours: str
    ours_value: float
    peer: str
    peer_value: float
    ratio: float
    """ours / peer, or peer / ours where lower is better: more is always better."""
    target: float
    """The least that `ratio` may be."""
    unit: str
    spread: tuple[float, float]
    """The smallest and the greatest ratio over the runs."""
    higher_is_better: bool = True

    @classmethod
    def from_runs(
        cls,
        what: str,
        ours: tuple[str, Sequence[float]],
        peer: tuple[str, Sequence[float]],
        target: float,
        unit: str,
        higher_is_better: bool = True,
    ) -> "Result":
        """The medians of runs that stand side by side: (label, one value for each run)."""
        pairs = list(zip(ours[1], peer[1], strict=True))
        ratios = [a / b if higher_is_better else b / a for a, b in pairs]
        return cls(
            what=what,
            ours=ours[0], ours_value=median(ours[1]),
            peer=peer[0], peer_value=median(peer[1]),
            ratio=median(ratios), target=target, unit=unit,
            spread=(min(ratios), max(ratios)),
            higher_is_better=higher_is_better,
        )  # fmt: skip

    @property
    def meets_target(self) -> bool:
        """Whether the ratio is at least the target."""
        return self.ratio >= self.target
