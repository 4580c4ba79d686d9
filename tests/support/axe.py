"""The rules of accessibility on a page, by axe, and its width: of both themes, dark first."""

from importlib.util import find_spec
from pathlib import Path

import pytest


def require_axe() -> str:
    """Return the source of axe; skip without it."""
    found = find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("needs the extra `dev`")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def check_page(page, axe: str, width: int) -> None:
    """Check that axe finds nothing serious in either theme and that nothing is wider than the screen."""
    page.evaluate(axe)
    for theme in ("dark", "light"):
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        violations = page.evaluate("axe.run().then(results => results.violations)")
        serious = [each for each in violations if each["impact"] in ("serious", "critical")]
        assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []
        page.get_by_role("button", name="colours").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
