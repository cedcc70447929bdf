"""Downloads the packages of packages.toml, checks their hashes, and unpacks their ONNX files."""

import fnmatch
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from model import Wild

PACKAGES = tomllib.loads(Path(__file__).with_name("packages.toml").read_text())["package"]
SECONDS = 600  # time limit of a download
HINTS = ("axes", "values", "high", "tolerance", "reason")


def models(folder: Path, errors: list[str]) -> Iterator[Wild]:
    """Yields the packages' models. Appends an error for each package that cannot be downloaded.

    A package is unpacked into `folder`, once. Files with the same content are one model.
    """
    seen = {}
    for package in PACKAGES:
        label = f"{package['name']}-{package['version']}".replace("@", "").replace("/", "-")
        try:
            unpacked = unpack(package, folder / label)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            detail = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
            errors.append(f"package {label}: {detail}")
            continue
        for file in sorted(unpacked.rglob("*.onnx")):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if seen.setdefault(digest, file) == file:
                stated = package | package.get("file", {}).get(file.stem, {})
                hints = {key: stated[key] for key in HINTS if key in stated}
                yield Wild(f"{label}-{file.stem}", f"packages, {package['family']}", file, hints)


def unpack(package: dict, folder: Path) -> Path:
    """Returns the folder with the package's ONNX files, which is made if it is missing."""
    mark = folder / "sha256"
    if mark.exists() and mark.read_text() == package["sha256"]:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        archive = download(package, Path(temporary)).read_bytes()
    found = hashlib.sha256(archive).hexdigest()
    if found != package["sha256"]:
        raise ValueError(f"expected SHA-256 {package['sha256']}, found {found}")
    for name, content in members(archive):
        if any(fnmatch.fnmatch(name, pattern) for pattern in package.get("files", ["*.onnx"])):
            file = folder / Path(name).relative_to("/" if name.startswith("/") else "")
            if ".." in file.parts:
                raise ValueError(f"expected a path inside the package, found {name}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    mark.write_text(package["sha256"])
    return folder


def download(package: dict, folder: Path) -> Path:
    """Downloads the archive of a package into an empty folder and returns its path."""
    name, version = package["name"], package["version"]
    if package["registry"] == "npm":
        command = ["npm", "pack", "--silent", f"{name}@{version}"]
    else:
        requirement = folder / "requirements.txt"
        requirement.write_text(f"{name}=={version} --hash=sha256:{package['sha256']}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
        command += ["--only-binary", ":all:", "--disable-pip-version-check", "-r", requirement.name]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=SECONDS)
    return next(file for file in folder.iterdir() if file.suffix in (".whl", ".tgz"))


def members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the names and contents of the files in a wheel or in an npm archive."""
    if zipfile.is_zipfile(io.BytesIO(archive)):
        with zipfile.ZipFile(io.BytesIO(archive)) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist() if not name.endswith("/"))
    else:
        with tarfile.open(fileobj=io.BytesIO(archive)) as npm:
            for member in npm:
                if member.isfile():
                    yield member.name, npm.extractfile(member).read()
