#!/usr/bin/env python3
"""Write the requirements*.txt and wheels.json beside this file again: `make lock`.

The resolver uv (extra `lock`) resolves the base install and the extras of a device, for every supported Python and
within constraints.txt; what the constraints leave open becomes the newest. Each package is pinned with the hashes of
its wheels for Linux on x86-64 and aarch64, so that pip installs these files and no others. wheels.json names them.
"""

import json
import subprocess
import tempfile
import tomllib
from pathlib import Path

from packaging.utils import parse_wheel_filename

DEPLOY = Path(__file__).resolve().parent
REPOSITORY = DEPLOY.parent
# Each file holds what its extras need beyond the base; requirements.txt is the base.
FILES = {
    "requirements.txt": (),
    "requirements-camera.txt": ("camera",),
    "requirements-services.txt": ("monitor", "mqtt", "sign"),
}
MACHINES = ("x86_64", "aarch64")
PYTHONS = ("py2", "py3", "cp311", "cp312", "cp313", "cp314")


def resolve(extras):
    """Return the packages of the base and `extras`, as pylock.toml (PEP 751) describes them, by name."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "pylock.toml"
        command = [
            *("uv", "pip", "compile", "--quiet", "--no-config", "--universal", "--python-version", "3.11"),
            *("--constraints", "constraints.txt", "--format", "pylock.toml", "--output-file", str(lock)),
            *(f"--extra={extra}" for extra in extras),
            "pyproject.toml",
        ]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        packages = tomllib.loads(lock.read_text(encoding="utf-8"))["packages"]
    return {package["name"]: package for package in packages if "win32" not in package.get("marker", "")}


def wheels(package):
    """Return {file name: SHA-256} of a package's wheels for the supported machines and Pythons, with glibc."""
    found = {}
    for wheel in package["wheels"]:
        name = wheel["url"].rpartition("/")[2]
        if any(map(runs, parse_wheel_filename(name)[3])):
            found[name] = wheel["hashes"]["sha256"]
    return dict(sorted(found.items()))


def runs(tag):
    on_linux = "manylinux" in tag.platform and tag.platform.endswith(MACHINES)
    return (
        (tag.platform == "any" or on_linux) and (tag.interpreter in PYTHONS or tag.abi == "abi3") and tag.abi[-1] != "t"
    )


def requirement(package, files):
    marker = f" ; {package['marker']}" if "marker" in package else ""
    hashes = [f"    --hash=sha256:{digest}" for digest in sorted(files.values())]
    return " \\\n".join([f"{package['name']}=={package['version']}{marker}", *hashes])


def main():
    base, listed = resolve(()), {}
    for name, extras in FILES.items():
        packages = {key: each for key, each in resolve(extras).items() if not extras or key not in base}
        files = {key: wheels(package) for key, package in packages.items()}
        what = f"{', '.join(extras)}, beyond requirements.txt" if extras else "the base install"
        head = f"# Packages of {what}. Written by `make lock`.\n"
        lines = [requirement(package, files[key]) for key, package in packages.items()]
        (DEPLOY / name).write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
        listed |= {key: {"version": packages[key]["version"], "wheels": files[key]} for key in packages}
    text = json.dumps(dict(sorted(listed.items())), indent=1)
    (DEPLOY / "wheels.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
