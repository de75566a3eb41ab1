"""The project as a whole: what it imports, what it pins, what may be committed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = ("ortools", "pandas", "networkx", "pyarrow", "distributed", "libvirt")
SOURCE_LINES_MAX = 400
FILE_BYTES_MAX = 1 << 20


def placer_command() -> Path:
    """Return the command of the environment that runs the tests."""
    return Path(sys.executable).parent / "placer"


def tracked_files(repository: Path) -> list[Path]:
    """Return what git tracks, or skip: an unpacked source distribution has no index."""
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout: nothing says what is committed")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, check=True, text=True)
    files = [repository / name for name in listing.stdout.split("\0") if name]
    assert files
    return [path for path in files if path.is_file()]


def pinned(requirements: Path) -> dict[str, str]:
    """Return name to version of a requirements file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", requirements.read_text(), re.MULTILINE))


def normalised(requirement: str) -> str:
    """Return the name in a requirement as registries compare it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name.group()).lower()


@pytest.fixture(scope="module")
def metadata(repository: Path) -> dict[str, object]:
    """Return pyproject.toml."""
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.mark.parametrize(
    "arguments", [[str(placer_command()), "--help"], ["-c", "import placer"]], ids=["placer --help", "import placer"]
)
def test_start_imports_nothing_heavy(arguments: list[str]) -> None:
    """Help and the bare package answer without the packages that take a second each to import."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True, timeout=1800
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines() if "|" in line}
    assert "placer" in imported
    assert imported.isdisjoint(HEAVY), sorted(imported.intersection(HEAVY))


def test_no_machine_paths_or_registries_committed(repository: Path) -> None:
    """No tracked file names this checkout, the home folder or a host of a package registry."""
    needles = [f"{repository}/", f"{Path.home()}/", "python" + "hosted.org", "pypi" + ".org", "deb." + "debian.org"]
    found = [
        f"{path.relative_to(repository)}: {needle}"
        for path in tracked_files(repository)
        for needle in needles
        if needle.encode() in path.read_bytes()
    ]
    assert not found


def test_no_large_file_committed(repository: Path) -> None:
    """Every tracked file is at most 1 MiB, and every source file at most 400 lines."""
    files = tracked_files(repository)
    large = [path.relative_to(repository) for path in files if path.stat().st_size > FILE_BYTES_MAX]
    assert not large
    sources = [path for path in files if path.suffix == ".py" and path.relative_to(repository).parts[0] != "tests"]
    lengths = {str(path.relative_to(repository)): len(path.read_text().splitlines()) for path in sources}
    assert not {name: lines for name, lines in lengths.items() if lines > SOURCE_LINES_MAX}


def test_every_dependency_is_pinned(repository: Path, metadata: dict[str, object]) -> None:
    """Each package that pyproject.toml names stands in the requirements file that installs it."""
    project = metadata["project"]
    groups = metadata["dependency-groups"]
    assert isinstance(project, dict) and isinstance(groups, dict)
    base, dev, libvirt = (pinned(repository / "requirements" / f"{name}.txt") for name in ("base", "dev", "libvirt"))
    extras = project["optional-dependencies"]
    assert {normalised(entry) for entry in project["dependencies"]} <= base.keys()
    assert {normalised(entry) for entry in extras["libvirt"]} <= libvirt.keys()
    others = [entry for extra, entries in extras.items() if extra != "libvirt" for entry in entries]
    assert {normalised(entry) for entry in others + groups["dev"]} <= dev.keys()
    platforms = pinned(repository / "requirements/platforms.txt")
    assert {normalised(entry) for entry in groups["platforms"]} <= platforms.keys()
    assert "libvirt-python" not in dev
    assert base.items() <= dev.items() and base.items() <= libvirt.items()


def test_requirements_carry_hashes_and_no_address(repository: Path) -> None:
    """Every pinned package has a hash, and no line says where it is fetched from."""
    files = sorted((repository / "requirements").glob("*.txt"))
    assert [path.stem for path in files] == ["base", "dev", "docs", "libvirt", "platforms", "tools"]
    for path in files:
        text = path.read_text()
        entries = re.split(r"\n(?=\S)", text.strip())
        assert all(" \\\n    --hash=sha256:" in entry for entry in entries), path.name
        assert "://" not in text and "--index" not in text and "--find-links" not in text, path.name


def test_changelog_opens_with_this_version(repository: Path, metadata: dict[str, object]) -> None:
    """The newest heading of the changelog is the version of pyproject.toml."""
    project = metadata["project"]
    assert isinstance(project, dict)
    headings = re.findall(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == project["version"]


def test_make_help_names_every_target(repository: Path) -> None:
    """``make help`` lists each target that the Makefile declares."""
    phony = re.search(r"^\.PHONY: (.+)$", (repository / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    run = subprocess.run(["make", "-s", "help"], cwd=repository, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^make (\S+)", run.stdout, re.MULTILINE))
    assert listed == set(phony.group(1).split()) - {"help"}
