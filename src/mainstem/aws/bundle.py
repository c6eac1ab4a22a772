"""The bundle that Lambda runs: Mainstem and the few libraries that Lambda's Python lacks.

botocore and urllib3 are left to Lambda, whose Python brings them:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
The same files make the same bytes, so a deployment without changes changes no function.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import mainstem
from mainstem.errors import DeploymentFailed, InvalidInput
from mainstem.text.printable import quoted

PYTHON: Final = "3.13"
ARCHITECTURES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}

_LEFT_OUT: Final = ("aws/stack", "aws/cdk.py", "cli", "demo", "testing", "transfer", "__main__.py")
"""Parts of Mainstem that no function needs."""
_NOT_FOR_BUNDLES: Final = {
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_REQUIRE_HASHES": "0",
    "PIP_DRY_RUN": "0",
    "UV_REQUIRE_HASHES": "0",
}
"""Settings for installing where the user works. The others hold: index, proxy, certificates."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class Bundle(NamedTuple):
    """A zip file for Lambda."""

    data: bytes
    digest: str
    """SHA-256 of the data, in hexadecimal."""
    files: int
    unpacked_bytes: int


def build(python: str = PYTHON, architecture: str = "arm64") -> Bundle:
    """Build it for a version of Python and a processor, with pip or uv, whichever is there.

    Raises `InvalidInput` for one that Lambda does not have, `DeploymentFailed` where the libraries can't be
    had.
    """
    if not re.fullmatch(r"3\.\d+", python) or architecture not in ARCHITECTURES:
        raise InvalidInput(
            f"python={quoted(python)}, architecture={quoted(architecture)}: give a version such as "
            f"{PYTHON}, and {' or '.join(ARCHITECTURES)}."
        )
    with tempfile.TemporaryDirectory(prefix="mainstem-bundle-") as name:
        folder = Path(name)
        _install(folder, python, ARCHITECTURES[architecture])
        _copy_mainstem(folder / "mainstem")
        if python == f"{sys.version_info.major}.{sys.version_info.minor}":
            _compile(folder)
        return _zipped(folder)


def requirements(python: str) -> list[str]:
    """What Mainstem needs there in addition to itself and to what Lambda brings."""
    found = ["msgspec" + _version_of("msgspec")]
    if tuple(map(int, python.split("."))) < (
        3,
        14,
    ):  # from then on, zstd is in the standard library
        found.append("backports.zstd" + _version_of("backports.zstd"))
    return found


def _version_of(name: str) -> str:
    """The version that is installed here, which is what was tested."""
    try:
        return f"=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def _install(folder: Path, python: str, machine: str) -> None:
    wanted = requirements(python)
    if importlib.util.find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # Lambda's Amazon Linux 2023 has glibc 2.34.
        for glibc in (34, 28, 17):
            command += ["--platform", f"manylinux_2_{glibc}_{machine}"]
        command += ["--python-version", python, "--implementation", "cp"]
        # Wherever pip is set up to install: with these it can't also be told where.
        command += ["--no-user", "--prefix=", f"--root={folder.anchor}"]
    elif (uv := shutil.which("uv")) is not None:
        platform = f"{machine}-manylinux_2_28"
        command = [uv, "pip", "install", "--quiet", "--python-platform", platform]
        command += ["--python-version", python]
    else:
        raise DeploymentFailed(
            "Neither pip nor uv is installed, so the functions' libraries can't be downloaded."
        )
    command += ["--only-binary", ":all:", "--no-deps", "--no-compile", "--target", str(folder)]
    if command[0] != sys.executable:
        command.remove("--no-compile")  # uv does so unless told otherwise
    done = subprocess.run(
        [*command, *wanted],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_NOT_FOR_BUNDLES},
    )
    if done.returncode:
        said = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise DeploymentFailed(
            f"{' and '.join(wanted)} can't be downloaded for Python {python} on {machine}: {said}"
        )
    names = {each.name.partition("-")[0].replace("_", ".") for each in folder.glob("*.dist-info")}
    missing = [each for each in wanted if each.partition("==")[0] not in names]
    if missing:
        raise DeploymentFailed(
            f"{' and '.join(missing)} can't be found in the bundle, though {Path(command[0]).name} told of "
            "no error: it is set up to install elsewhere."
        )
    for part in ("bin", ".lock"):
        found = folder / part
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)


def _copy_mainstem(target: Path) -> None:
    source = Path(mainstem.__file__).parent
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source)
        if any(name.is_relative_to(part) for part in _LEFT_OUT):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def _compile(folder: Path) -> None:
    """Save Lambda, which can't keep what it compiles, to do so at each cold start."""
    compileall.compile_dir(
        folder,
        quiet=2,
        stripdir=str(folder),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _zipped(folder: Path) -> Bundle:
    made = io.BytesIO()
    files = size = 0
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in _files(folder):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.external_attr = 0o644 << 16
            data = path.read_bytes()
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
            files, size = files + 1, size + len(data)
    data = made.getvalue()
    return Bundle(data, hashlib.sha256(data).hexdigest(), files, size)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        # What pip notes about an installation differs from one to the next.
        if path.is_file() and path.name not in (
            "RECORD",
            "direct_url.json",
            "INSTALLER",
            "REQUESTED",
        ):
            yield path
