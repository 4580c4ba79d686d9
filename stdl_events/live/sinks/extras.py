"""Packages that single sinks need."""

from stdl_events.errors import MissingExtraError


def missing_extra(subject: str, package: str, extra: str) -> MissingExtraError:
    """Return the error for a package of an extra that is not installed."""
    return MissingExtraError(
        subject, got=f"no package {package}", expected=f"the extra {extra}", todo=f"pip install 'stdl-events[{extra}]'"
    )
