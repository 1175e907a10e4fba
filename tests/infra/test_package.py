"""The deployment package, built by the pipeline's own program."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pathspec
from packaging.requirements import Requirement

from infra import package
from tests.infra.test_bicep import routes_by_function

ROOT = Path(__file__).resolve().parents[2]


def repository_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    return listed.stdout.split()


def test_the_package_imports_alone_with_every_function_and_nothing_undeployed(tmp_path: Path):
    built = tmp_path / "package.zip"
    package.build(ROOT, built)
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    own = {name for name in names if not name.startswith(".python_packages/") and "__pycache__" not in name}

    assert own == set(package.own_files(ROOT))
    assert {name.partition("/")[0] for name in own} <= {*package.ROOMS, *package.FILES}
    parts = {part for name in names for part in Path(name).parts}
    assert parts.isdisjoint({"tests", "test", "docs", "evaluation", "benchmarks", "local", ".git", "infra"})
    assert any(name.startswith("ranking/__pycache__/") and name.endswith(".nbc") for name in names), "machine code"
    assert package.verify(built) == sorted(routes_by_function())
    assert built.stat().st_size < 150_000_000


def test_the_same_files_give_the_same_package(tmp_path: Path):
    stage = tmp_path / "stage"
    (stage / "feed").mkdir(parents=True)
    (stage / "feed" / "page.py").write_text("ITEMS = 20\n")
    (stage / "host.json").write_text("{}")
    package.write_zip(stage, tmp_path / "one.zip")
    (stage / "host.json").touch()
    package.write_zip(stage, tmp_path / "two.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_publishing_by_hand_leaves_out_the_same_files():
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    files = repository_files()
    assert {path for path in files if not ignored.match_file(path)} == {
        path for path in files if package.is_packaged(path)
    }


def test_what_a_room_serves_is_packaged_and_what_only_developers_need_is_not():
    assert package.is_packaged("cms/studio/index.html")
    for path in (
        "tests/feed/test_page.py",
        "docs/api.md",
        "local/host.py",
        "evaluation/replay.py",
        "benchmarks/feed.py",
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

    assert {line.lower() for line in wanted} <= locked, "run: python infra/package.py --lock"
    for block in lock.split("\n\n" if "\n\n" in lock else "    # via"):
        assert "==" not in block or "--hash=sha256:" in block
