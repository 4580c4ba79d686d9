"""The result of gpu_check as text: a table for each stage."""

from typing import Any

UNITS = {"_bytes": (1e6, " MB"), "seconds": (1e-3, " ms")}


def to_markdown(document: dict[str, Any]) -> str:
    """Facts, then each stage with its rows."""
    facts, device = document["environment"], document["device"]
    lines = [
        f"# GPU check, {facts['date']}",
        "",
        f"{'; '.join(f'{name} {value}' for name, value in device.items())}.",
        f"{facts['machine']}, commit {facts['commit']}, "
        + ", ".join(f"{name} {version or 'missing'}" for name, version in facts["versions"].items())
        + f". Limit {document['limit_seconds']:.0f} s.",
    ]
    if document["quick"]:
        lines += ["", "Tiny networks, to see that the stages work: these figures mean nothing."]
    for stage in document["stages"]:
        took = f", {stage['seconds']:.0f} s" if "seconds" in stage else ""
        reason = " ".join(stage["reason"].split()) if "reason" in stage else ""
        lines += [
            "",
            f"## {stage['name']}: {stage['state']}{took}",
            "",
            stage["about"] + (f": {reason}" if reason else ""),
        ]
        lines += ["", *table(stage["rows"])] if stage["rows"] else []
    return "\n".join([*lines, ""])


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a table of all columns of `rows`."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(_heading(name) for name in names) + " |", "|" + "---|" * len(names)]
    return [*lines, *("| " + " | ".join(_cell(name, row.get(name)) for name in names) + " |" for row in rows)]


def _heading(name: str) -> str:
    unit = next((unit for ending, (_, unit) in UNITS.items() if name.endswith(ending)), "")
    return name.replace("_bytes", "").replace("_seconds", "").replace("_", " ") + unit


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) or name.endswith("_bytes"):
        size, _ = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), (1.0, ""))
        return f"{float(value) / size:.4g}"  # type: ignore[arg-type]
    return str(value).replace("|", "/").replace("\n", " ")
