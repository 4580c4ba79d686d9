"""Files are hashed once, found under another Unicode form, and a long hashing shows a bar."""

import hashlib
import unicodedata
from pathlib import Path

import pytest

from stdl_events.recordings.file_contents import Content, contents_of, located
from stdl_events.training.progress import LEAST_BYTES_SHOWN, HashingProgress


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_each_file_is_hashed_once(tmp_path: Path, size: int) -> None:
    paths = [tmp_path / name for name in "abc"]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * size)
    calls: list[tuple[int, int]] = []
    found = contents_of(
        [*paths, paths[0], tmp_path, tmp_path / "none"], lambda done, total: calls.append((done, total))
    )
    assert found == {path: Content(size, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths}
    assert calls == [(size, 3 * size), (2 * size, 3 * size), (3 * size, 3 * size)]


def test_a_file_is_found_in_another_unicode_form_only(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Gähnen") for form in ("NFC", "NFD"))
    (tmp_path / decomposed).mkdir()
    (tmp_path / decomposed / "1.h5").write_bytes(b"1")
    assert located(tmp_path, f"{composed}/1.h5").read_bytes() == b"1"
    assert located(tmp_path, f"{composed}/1.H5") == tmp_path / composed / "1.H5"
    assert not located(tmp_path, "none/1.h5").exists()


@pytest.mark.parametrize(
    ("total", "quiet"), [(LEAST_BYTES_SHOWN, False), (LEAST_BYTES_SHOWN - 1, False), (10**12, True)]
)
def test_a_long_hashing_shows_a_bar(capsys: pytest.CaptureFixture[str], total: int, quiet: bool) -> None:
    with HashingProgress(quiet=quiet) as progress:
        progress.show(total // 2, total)
        progress.show(total, total)
    shown = capsys.readouterr().err
    assert ("hashing the recordings" in shown) is (total >= LEAST_BYTES_SHOWN and not quiet)
    assert bool(shown) is (total >= LEAST_BYTES_SHOWN and not quiet)
