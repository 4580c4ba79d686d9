"""Facts of a run for the page: what the source is, and which model runs, by its checksum."""

from typing import Any

from stdl_events import __version__
from stdl_events.events.stream import EventSource
from stdl_events.live.model_identity import ModelIdentity
from stdl_events.live.recogniser import Recogniser


def run_facts(source_name: str, source: EventSource, recogniser: Recogniser) -> dict[str, Any]:
    """Return what the page says of the source and of the model; JSON."""
    session, spec = recogniser.session, recogniser.spec
    card, identity = session.card, ModelIdentity.of(session)
    width, height = source.sensor_size
    window_us = spec.dt_us or 0
    return {
        "labels": list(card.labels),
        "source": {
            "source": source_name,
            "sensor": f"{width} x {height} pixels",
        },
        "model": {
            "model": identity.name,
            "SHA-256": identity.sha256,
            "of the weights": identity.weights_sha256,
            "signature": identity.signature,
            "classes": str(len(card.labels)),
            "frames": f"{spec.steps} of {window_us / 1e3:g} ms: a clip of {spec.steps * window_us / 1e3:g} ms",
            "state": "zeroed at each clip" if card.readout == "reset" else "goes on over clips",
            "temperature": f"{card.temperature:g}",
            "trained with": ", ".join(f"{name} {version}" for name, version in card.versions.items()),
        }
        | {name.replace("_", " "): _words(value) for name, value in card.provenance.items()},
        "version": __version__,
    }


def _words(value: Any) -> str:
    """Return a value of the card's provenance as one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(its)}" for name, its in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
