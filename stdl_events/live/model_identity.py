"""Which model runs, for summaries, metrics and the monitor."""

from dataclasses import dataclass
from pathlib import Path

from stdl_events.live.session import OnnxSession, StepSession


@dataclass(frozen=True)
class ModelIdentity:
    """Which model runs.

    Attributes:
        name: of its file.
        sha256: of the file; empty for a model of another runtime, as the others.
        weights_sha256: of its weights, see `OnnxFile`.
        signature: see `OnnxFile`.
    """

    name: str
    sha256: str = ""
    weights_sha256: str = ""
    signature: str = ""

    @classmethod
    def of(cls, session: StepSession) -> "ModelIdentity":
        """Return the identity of the model of a session."""
        name = Path(session.path).name
        if not isinstance(session, OnnxSession):
            return cls(name)
        file = session.file
        return cls(name, file.sha256, file.weights_sha256, file.signature)

    def to_text(self) -> str:
        """Return three lines of at most 80 columns, but for a long name."""
        signed = {"verified": "signature verified", "not checked": "signature not checked", "none": "not signed"}
        name = self.name if self.name.isprintable() else repr(self.name)
        lines = [f"model {name}" + (f", {signed[self.signature]}" if self.signature else "")]
        lines += [f"file sha256:{self.sha256}", f"weights sha256:{self.weights_sha256}"] if self.sha256 else []
        return "\n".join(lines)
