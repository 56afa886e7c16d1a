"""A progress bar on stderr, where stderr is a terminal; nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ProgressBar:
    """Shows phases one below the other; from `progress_bar`."""

    def __init__(self, add: Callable[[str, float | None], Callable[[float], None]]) -> None:
        self._add_phase = add

    def begin_phase(self, what: str, total: float | None) -> Callable[[float], None]:
        """Begin a line; call what is returned with how much of `total` (None: unknown) is done."""
        return self._add_phase(what, total)


@contextmanager
def progress_bar(*, shown: bool = True) -> Iterator[ProgressBar]:
    """A progress bar during the block; none where `shown` is false or stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:,.0f}/s")

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, disable=not (shown and console.is_terminal)
    ) as progress:

        def add_phase(what: str, total: float | None) -> Callable[[float], None]:
            task = progress.add_task(what, total=total)
            return lambda done: progress.update(task, completed=done)

        yield ProgressBar(add_phase)
