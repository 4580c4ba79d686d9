"""A model is run only by its signature: made by the command or by openssl, verified by either."""

import shutil
import subprocess

import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import ModelError, UserError
from stdl_events.live import OnnxSession
from stdl_events.live.model_identity import ModelIdentity
from stdl_events.live.signature import SignedBefore, read_private_key, read_public_key, sign_file

pytest.importorskip("cryptography", reason="cryptography is not installed: it signs models (extra `sign`)")


def openssl(*arguments: object) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the keys")
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def keys(tmp_path):
    for name in ("key", "other"):
        openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / f"{name}.pem")
        openssl("pkey", "-in", tmp_path / f"{name}.pem", "-pubout", "-out", tmp_path / f"{name}.pub")
    return tmp_path


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.onnx", make_card(stream_spec()))


def test_a_signed_model_runs_and_openssl_verifies_it(keys, model):
    signature = sign_file(model, read_private_key(keys / "key.pem"))
    assert signature == keys / "m.onnx.sig"
    session = OnnxSession(model, signed_by=keys / "key.pub")
    assert ModelIdentity.of(session).to_text().startswith("model m.onnx, signature verified\nfile sha256:")
    assert OnnxSession(model).file.signature == "not checked"
    openssl(
        "pkeyutl", "-verify", "-rawin", "-in", model, "-sigfile", signature, "-pubin", "-inkey", keys / "key.pub"
    )  # fmt: skip


def test_what_openssl_signed_runs(keys, model):
    openssl("pkeyutl", "-sign", "-rawin", "-in", model, "-inkey", keys / "key.pem", "-out", keys / "m.onnx.sig")
    assert OnnxSession(model, signed_by=keys / "key.pub").card.labels


def test_another_file_another_key_and_no_signature_are_refused(keys, model):
    with pytest.raises(ModelError, match=r"no signature m.onnx.sig beside it"):
        OnnxSession(model, signed_by=keys / "key.pub")
    signature = sign_file(model, read_private_key(keys / "key.pem"))
    with pytest.raises(ModelError, match="of another file or key"):
        OnnxSession(model, signed_by=keys / "other.pub")
    content = model.read_bytes()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match="of another file or key"):
        OnnxSession(model, signed_by=keys / "key.pub")
    model.write_bytes(content)
    signature.write_bytes(signature.read_bytes()[:63])
    with pytest.raises(ModelError, match="of another file or key"):
        OnnxSession(model, signed_by=keys / "key.pub")


def test_files_that_are_no_keys(keys, tmp_path):
    openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024", "-out", tmp_path / "rsa.pem")
    openssl("pkey", "-in", tmp_path / "key.pem", "-aes128", "-passout", "pass:x", "-out", tmp_path / "locked.pem")
    for name in ("none.pem", "rsa.pem", "locked.pem", "key.pub"):
        with pytest.raises(UserError, match="openssl genpkey") as caught:
            read_private_key(tmp_path / name)
        assert "\n" not in str(caught.value)
    for name in ("none.pub", "rsa.pem", "key.pem"):
        with pytest.raises(UserError, match="openssl pkey"):
            read_public_key(tmp_path / name)


def test_a_model_that_is_written_anew_loses_the_signature_of_the_one_before(keys, model):
    before = SignedBefore(model)
    assert before.remove_if_stale() is None
    signature = sign_file(model, read_private_key(keys / "key.pem"))
    before = SignedBefore(model)
    assert before.remove_if_stale() is None, "the same bytes are signed still"
    model.write_bytes(model.read_bytes() + b" ")
    assert (before.remove_if_stale(), signature.exists()) == (signature, False)
