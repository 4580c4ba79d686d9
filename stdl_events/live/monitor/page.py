"""The page as one document: its style and its scripts are within it, and each carries the nonce of the answer."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
SCRIPTS = ("charts.js", "bars.js", "controls.js", "page.js")


@cache
def _template() -> str:
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    script = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    page = (_FOLDER / "page.html").read_text(encoding="utf-8")
    return page.replace("{{style}}", style).replace("{{script}}", f'"use strict";\n(() => {{\n{script}\n}})();')


def page(nonce: str) -> str:
    """Return the page; nothing in it depends on the run, whose names come as JSON and are shown as text."""
    return _template().replace("{{nonce}}", nonce)
