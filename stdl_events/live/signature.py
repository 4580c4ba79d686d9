"""Detached signatures of model files: Ed25519 (RFC 8032) over all bytes of the file, 64 raw bytes in FILE.sig.

`openssl pkeyutl` makes and verifies the same ones, without this package. The one door to cryptography, which the extra
`sign` brings.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stdl_events.errors import MissingExtraError, ModelError, UserError
from stdl_events.whole_file import whole_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SUFFIX = ".sig"
MAKE_KEY = "openssl genpkey -algorithm ed25519 -out key.pem"
MAKE_PUBLIC = "openssl pkey -in key.pem -pubout -out key.pub"


def signature_path(model: Path) -> Path:
    """Return the path of the signature of a model file."""
    return model.with_name(model.name + SUFFIX)


def read_private_key(path: Path) -> "Ed25519PrivateKey":
    """Read an Ed25519 key in PEM, without a password.

    Raises:
        UserError: the file is none.
        MissingExtraError: cryptography is not installed.
    """
    key: Ed25519PrivateKey = _read_key(path, "private", MAKE_KEY, "--sign")
    return key


def read_public_key(path: Path) -> "Ed25519PublicKey":
    """Read an Ed25519 public key in PEM.

    Raises:
        UserError: the file is none.
        MissingExtraError: cryptography is not installed.
    """
    key: Ed25519PublicKey = _read_key(path, "public", MAKE_PUBLIC, "--require-signature")
    return key


def _read_key(path: Path, half: Literal["private", "public"], make: str, option: str) -> Any:
    content = _content(path, make)
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise _no_cryptography(option) from None
    try:
        if half == "private":
            key: Any = serialization.load_pem_private_key(content, password=None)
        else:
            key = serialization.load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path, str(error), make) from None
    kind = ed25519.Ed25519PrivateKey if half == "private" else ed25519.Ed25519PublicKey
    if not isinstance(key, kind):
        raise _no_key(path, type(key).__name__, make)
    return key


def sign_file(model: Path, key: "Ed25519PrivateKey") -> Path:
    """Write the signature of `model` beside it and return its path.

    Raises:
        ModelError: it cannot be written.
    """
    signature = key.sign(model.read_bytes())
    path = signature_path(model)
    with whole_file(path, room_for="signature", error=ModelError) as file:
        file.write(signature)
    return path


class SignedBefore:
    """A model that is about to be written anew, whose signature is of the old one then."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._content = model.read_bytes() if model.is_file() and signature_path(model).is_file() else None

    def remove_if_stale(self) -> Path | None:
        """Remove the signature if the model has changed; return its path then."""
        if self._content is None or self._content == self._model.read_bytes():
            return None
        path = signature_path(self._model)
        path.unlink()
        return path


def require_signature(model: Path, content: bytes, key: "Ed25519PublicKey") -> None:
    """Check that the file beside `model` is the signature of `content` by `key`'s owner.

    Raises:
        ModelError: there is none, or it is of another file or key.
    """
    from cryptography.exceptions import InvalidSignature

    path = signature_path(model)
    if not path.is_file():
        raise ModelError(
            str(model), got=f"no signature {path.name} beside it", expected="a signed model",
            todo="copy it with its signature, or sign it with export --sign",
        )  # fmt: skip
    try:
        key.verify(path.read_bytes(), content)
    except InvalidSignature:
        raise ModelError(
            str(model), got=f"a signature {path.name} of another file or key",
            expected="one that the public key verifies",
            todo="copy both again from where the model was signed, and use that key's public part",
        ) from None  # fmt: skip


def _content(path: Path, make: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            str(path),
            got=str(error.strerror or error).lower(),
            expected="an Ed25519 key in PEM",
            todo=f"make one: {make}",
        ) from None


def _no_key(path: Path, got: str, make: str) -> UserError:
    return UserError(
        str(path), got=f"no such key ({got.splitlines()[0][:80]})",
        expected="an Ed25519 key in PEM, without a password",
        todo=f"make one: {make}",
    )  # fmt: skip


def _no_cryptography(option: str) -> MissingExtraError:
    return MissingExtraError(
        option, got="no package cryptography", expected="the extra `sign`", todo="install stdl-events[sign]"
    )
