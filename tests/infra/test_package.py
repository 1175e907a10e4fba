"""The deployment package, built by the pipeline's program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pathspec
import pytest
from packaging.requirements import Requirement

from infra import package
from infra.machine_code import add_machine_code
from tests.infra.ranked import digest
from tests.infra.test_bicep import routes_by_function
from tests.skip_reasons import leave_out

ROOT = Path(__file__).resolve().parents[2]


def repository_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    return listed.stdout.split()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built as the pipeline does."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" != package.PYTHON:
        pytest.skip(f"the package is built with Python {package.PYTHON}")
    if shutil.which("gcc") is None:
        leave_out("the package's machine code needs a C compiler: apt-get install build-essential")
    file = tmp_path_factory.mktemp("package") / "package.zip"
    package.build(ROOT, file)
    return file


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    folder = built.parent / "app"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder)
    return folder


def test_the_package_imports_alone_with_every_function_and_nothing_undeployed(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    own = {name for name in names if not name.startswith(".python_packages/") and "__pycache__" not in name}
    (loops,) = (name for name in own if name.startswith("ranking/_loops."))

    assert own - {loops} == set(package.own_files(ROOT))
    assert {name.partition("/")[0] for name in own} <= {*package.ROOMS, *package.FILES}
    parts = {part for name in names for part in Path(name).parts}
    assert parts.isdisjoint({"tests", "test", "docs", "evaluation", "benchmarks", "local", ".git", "infra"})
    imported = package.verify(built)
    assert imported.functions == sorted(routes_by_function())
    assert imported.resident_bytes <= 100_000_000
    assert built.stat().st_size <= 55_000_000


def test_the_package_has_no_compiler_and_no_training_library(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        libraries = {name.split("/")[3] for name in archive.namelist() if name.startswith(package.SITE_PACKAGES)}
    assert {"numpy", "pydantic"} <= libraries
    assert libraries.isdisjoint({"numba", "llvmlite", "scipy", "pyarrow", "torch", "sklearn"})


def test_package_serves_the_api_reference_with_only_its_files(unpacked: Path) -> None:
    swagger = unpacked / package.SITE_PACKAGES / package.SWAGGER_UI
    assert {path.name for path in swagger.iterdir()} == {*package.SWAGGER_FILES, "LICENSE"}
    program = (
        "import azure.functions as func, shared.web.api_reference as r, sys\n"
        "asked = func.HttpRequest('GET', '/docs', body=b'')\n"
        "found = [r.reference_files().response(name, asked, '') for name in (r.PAGE, *r.SWAGGER_FILES)]\n"
        "print([each.status_code for each in found], 'swagger_ui' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=unpacked,
        env={"PYTHONPATH": os.pathsep.join((str(unpacked), str(unpacked / package.SITE_PACKAGES)))},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[200, 200, 200, 200] False\n", done.stderr


def test_the_packaged_machine_code_ranks_bit_for_bit_like_the_source(unpacked: Path) -> None:
    """The same program, once on the package's extension module and once on what numba made of the source here."""
    program = "import sys, tests.infra.ranked as r; assert 'numba' not in sys.modules; print(r.digest())"
    dependencies = str(unpacked / package.SITE_PACKAGES)
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=unpacked,
        env={"PYTHONPATH": os.pathsep.join((str(unpacked), dependencies, str(ROOT)))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == digest()


def test_machine_code_has_the_same_bytes_in_every_folder(unpacked: Path, tmp_path: Path) -> None:
    again = tmp_path / "a longer name"
    for room in ("ranking", "shared"):
        shutil.copytree(ROOT / room, again / room, ignore=shutil.ignore_patterns("__pycache__"))
    add_machine_code(again)
    one, two = (next((folder / "ranking").glob("_loops.*")) for folder in (unpacked, again))
    assert (one.name, one.read_bytes()) == (two.name, two.read_bytes())


def test_the_same_files_give_the_same_package(tmp_path: Path):
    stage = tmp_path / "stage"
    (stage / "feed").mkdir(parents=True)
    (stage / "feed" / "page.py").write_text("ITEMS = 20\n")
    (stage / "host.json").write_text("{}")
    package.write_zip(stage, tmp_path / "one.zip")
    (stage / "host.json").touch()
    package.write_zip(stage, tmp_path / "two.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_manual_publish_leaves_out_the_same_files():
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    files = repository_files()
    assert {path for path in files if not ignored.match_file(path)} == {
        path for path in files if package.is_packaged(path)
    }


def test_served_files_are_packaged_and_developer_files_are_not():
    assert package.is_packaged("cms/studio/index.html")
    for path in (
        "tests/feed/test_page.py",
        "docs/api.md",
        "local/host.py",
        "evaluation/compare.py",
        "benchmarks/feed.py",
        "sdk/typescript/dist/video-feed.js",
    ):
        assert not package.is_packaged(path)


def test_every_requirement_is_locked_by_hash():
    lines = {line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()} - {""}
    found = [Requirement(line) for line in lines]
    there = {"python_version": package.PYTHON}
    wanted = {f"{each.name}{each.specifier}" for each in found if not each.marker or each.marker.evaluate(there)}
    lock = (ROOT / package.LOCK).read_text()
    locked = {
        block.split(" ")[0].lower() for block in lock.split("\n") if "==" in block and not block.startswith((" ", "#"))
    }

    assert {line.lower() for line in wanted} <= locked, "run: python -m infra.package --lock"
    for block in lock.split("\n\n" if "\n\n" in lock else "    # via"):
        assert "==" not in block or "--hash=sha256:" in block
