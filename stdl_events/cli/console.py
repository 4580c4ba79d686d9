"""The console that all commands print to."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from stdl_events.errors import printable

_KEPT = "\n\t"


class PlainConsole(Console):
    """A console on which names and texts of a stranger's files cannot move the cursor, colour or hide what follows.

    Its own colours and cursor are styles and control segments, and so no characters of a text.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, _KEPT), segment.style)
