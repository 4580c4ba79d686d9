"""Names in columns of a terminal: cells are counted, since a character may take none, one or two of them."""

from rich.cells import cell_len

from stdl_events.errors import printable


def shortened(name: str, width: int) -> str:
    """`name` as it is printed, with its middle left out if it takes more than `width` cells."""
    name = printable(name)
    if cell_len(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{_first(name, width - 1 - end)}…{_first(name[::-1], end)[::-1]}"


def padded(name: str, width: int) -> str:
    """`name` as it is printed, with blanks behind it up to `width` cells."""
    name = printable(name)
    return name + " " * (width - cell_len(name))


def cells_of(name: str) -> int:
    """The cells that `name` takes when it is printed."""
    return cell_len(printable(name))


def _first(text: str, width: int) -> str:
    """As many characters as take at most `width` cells."""
    while cell_len(text) > width:
        text = text[:-1]
    return text
