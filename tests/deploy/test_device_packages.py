"""Packages of a device: the lock, wheels for both machines, the size of the base install, the list of components."""

import importlib.metadata
import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
# Each file of pinned packages, and the extras that it adds to the base.
FILES = {
    "requirements.txt": (),
    "requirements-camera.txt": ("camera",),
    "requirements-services.txt": ("monitor", "mqtt", "sign"),
}
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
# A wheel may ask for the glibc 2.35 of Ubuntu 22.04 at most; Debian 12 has 2.36.
GLIBC_MINORS = range(35, 4, -1)
MAX_BASE_BYTES = 200 << 20


def project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pinned(path: Path) -> dict[str, tuple[Requirement, list[str]]]:
    """Name -> (the requirement, the SHA-256 of its files) of each package in a file of requirements."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        words, *hashes = line.split(" --hash=sha256:")
        requirement = Requirement(words)
        found[requirement.name] = (requirement, [each.strip() for each in hashes])
    return found


def all_pinned() -> dict[str, tuple[Requirement, list[str]]]:
    return {name: each for file in FILES for name, each in pinned(DEPLOY / file).items()}


@cache
def needed(extras: tuple[str, ...]) -> frozenset[str]:
    """Names of the packages that the base and `extras` need on this machine, at any depth, of those installed here."""
    wanted = [Requirement(each) for each in project()["dependencies"]]
    wanted += [Requirement(each) for extra in extras for each in project()["optional-dependencies"][extra]]
    found: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        requirement = wanted.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(key)
        for each in map(Requirement, importlib.metadata.requires(key[0]) or ()):
            for extra in ("", *requirement.extras):
                if each.marker is None or each.marker.evaluate({"extra": extra}):
                    wanted.append(Requirement(re.sub(r";.*", "", str(each))))
    return frozenset(name for name, _ in found)


def test_the_requirements_are_those_of_the_project_and_no_others():
    """Run `make lock` where this fails: a dependency of the project, or of one of its packages, has changed."""
    base = {name for name, (pin, _) in pinned(DEPLOY / "requirements.txt").items() if applies(pin)}
    assert base == needed(())
    for file, extras in FILES.items():
        more = {name for name, (pin, _) in pinned(DEPLOY / file).items() if applies(pin)}
        assert more == (needed(extras) - base if extras else base), file


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def test_the_requirements_are_as_constrained():
    """Run `make lock` where this fails: constraints.txt has other versions."""
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = [Requirement(line) for line in lines if not line.startswith("#")]
    versions = {canonicalize_name(each.name): str(each.specifier) for each in constraints}
    pins = {name: str(requirement.specifier) for name, (requirement, _) in all_pinned().items()}
    shared = pins.keys() & versions.keys()
    assert {"numpy", "onnxruntime", "eventcv", "fastapi"} <= shared
    assert {name: pins[name] for name in shared} == {name: versions[name] for name in shared}
    for wanted in map(Requirement, project()["dependencies"]):
        version = pins[canonicalize_name(wanted.name)].removeprefix("==")
        assert wanted.specifier.contains(version), f"{wanted.name} {version}"


def test_every_package_has_the_hashes_of_its_wheels():
    wheels = json.loads((DEPLOY / "wheels.json").read_text(encoding="utf-8"))
    pins = all_pinned()
    assert wheels.keys() == pins.keys()
    for name, (requirement, hashes) in pins.items():
        assert str(requirement.specifier) == f"=={wheels[name]['version']}"
        assert hashes == sorted(wheels[name]["wheels"].values()), name
        assert hashes
        for file in wheels[name]["wheels"]:
            package, version, _, _ = parse_wheel_filename(file)
            assert (package, str(version)) == (name, wheels[name]["version"])


@cache
def accepted_tags(machine: str, python: tuple[int, int]) -> frozenset[Tag]:
    """Return what `python` installs on Linux on `machine`."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS] + [f"manylinux2014_{machine}"]
    version = f"cp{python[0]}{python[1]}"
    common = compatible_tags(python, interpreter=version, platforms=platforms)
    return frozenset([*cpython_tags(python, platforms=platforms), *common])


def runs_on(machine: str, python: tuple[int, int], files: list[str]) -> bool:
    """True if `python` installs one of the wheels `files` on Linux on `machine`."""
    return any(parse_wheel_filename(file)[3] & accepted_tags(machine, python) for file in files)


@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: ".".join(map(str, python)))
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_package_of_a_device_has_a_wheel_for(machine, python):
    wheels = json.loads((DEPLOY / "wheels.json").read_text(encoding="utf-8"))
    version = ".".join(map(str, python))
    there = default_environment() | {
        "python_version": version, "python_full_version": f"{version}.0", "platform_machine": machine,
    }  # fmt: skip
    wanted = [
        name
        for name, (requirement, _) in all_pinned().items()
        if requirement.marker is None or requirement.marker.evaluate(there)
    ]
    assert len(wanted) > 30
    missing = [name for name in wanted if not runs_on(machine, python, list(wheels[name]["wheels"]))]
    assert missing == []
    assert ("backports-zstd" in wanted) == (python < (3, 14))
    assert not runs_on("riscv64", python, list(wheels["onnxruntime"]["wheels"])), "the check can fail"


def test_the_base_install_is_small():
    """At most 200 MiB with Python's compiled files, by the sizes that the wheels record; ours by the source."""
    sizes = {name: installed_bytes(name) for name in needed(()) - {"stdl-events"}}
    installed = (path for path in (REPOSITORY / "stdl_events").rglob("*") if "__pycache__" not in path.parts)
    ours = [path.stat().st_size for path in installed]
    assert sum(sizes.values()) > 100 << 20, "the sizes were read"
    largest = {name: round(size / 2**20, 1) for name, size in sorted(sizes.items(), key=lambda each: -each[1])[:6]}
    assert sum(sizes.values()) + 2.25 * sum(ours) <= MAX_BASE_BYTES, f"MiB: {largest}"


def installed_bytes(name: str) -> float:
    """Size of a package's files as its wheel lists them; a compiled file is 1.25 times as large as its source."""
    files = importlib.metadata.files(name)
    assert files, f"{name} has no RECORD"
    return sum((file.size or 0) * (2.25 if file.suffix == ".py" else 1) for file in files if file.suffix != ".pyc")
