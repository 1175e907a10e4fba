"""Rules of the code structure, checked in the source: imports, use of Azure SDKs, and no effects at import."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import function_app
from ranking.just_in_time import INLINED
from shared.observability.metrics import METRICS
from shared.settings import SETTINGS, Settings
from shared.web.declaration import Endpoint
from shared.web.endpoint import endpoints_of
from tests.parts import app_functions

ROOT = Path(__file__).resolve().parent.parent
FILES = ("function_app", "bootstrap")
"""Top-level packages of one file."""
PACKAGES = (
    "feed", "events", "media", "ranking", "stories", "cms", "privacy", "shared", "learning", "commands", "local",
    "evaluation",
)  # fmt: skip
SHIPPED = (*FILES, "feed", "events", "media", "ranking", "stories", "cms", "privacy", "shared", "learning", "commands")

ROOMS = ("privacy", "cms", "stories", "feed", "events", "media")
BELOW_ROOMS = ("ranking", "shared")
ARROWS: dict[str, tuple[str, ...]] = {
    "local": ("commands", "function_app", "bootstrap", *ROOMS, *BELOW_ROOMS),
    "commands": ("bootstrap", *ROOMS, "learning", *BELOW_ROOMS),
    "function_app": ("bootstrap", *ROOMS, "shared"),
    "bootstrap": (*ROOMS, "learning", "shared"),
    "privacy": ("stories", "feed", "events", "media", *BELOW_ROOMS),
    "cms": (
        "feed",
        "learning.holdout",
        "learning.ranking_metrics",
        "learning.take_back",
        "stories.moderation",
        "stories.story",
        *BELOW_ROOMS,
    ),
    "learning": ("events", "feed.filters", *BELOW_ROOMS),
    "stories": ("media", *BELOW_ROOMS),
    "feed": BELOW_ROOMS,
    "events": BELOW_ROOMS,
    "media": ("shared",),
    "ranking": ("shared.domain",),
    "shared.web": ("shared.adapters", "shared.domain", "shared.observability", "shared.settings"),
    "shared.adapters": ("shared.domain", "shared.observability", "shared.settings"),
    "shared.domain": ("shared.settings",),
    "shared.observability": ("shared.settings",),
    "shared.settings": (),
    "evaluation": ("learning", "ranking", "shared"),
}
"""Package → project packages or modules it may import beside itself. All point downward."""

KEEPS_MACHINE_CODE = "ranking/just_in_time.py"
"""Reads and writes files, at import only."""
CHOOSES_MACHINE_CODE = "ranking/compiled.py"
"""Looks for the extension module of the deployment package, at import only."""

KNOWS_FUNCTIONS = re.compile(
    r"function_app\.py|shared/web/(bodies|compression|endpoint|http_response|static_files|status)\.py|local/[a-z_]+\.py|(feed|events|media|privacy)/((lists|similar)_)?api\.py|stories/([a-z]+_)?api\.py"
    r"|cms/(request|documents|audit|[a-z]+/[a-z_]+)\.py"
)
"""Modules that may import `azure.functions`: those with endpoints, and their framework."""

SDKS = {
    "azure.cosmos": "shared/adapters/documents/cosmos.py",
    "azure.servicebus": "shared/adapters/bus/servicebus.py",
    "azure.storage": "shared/adapters/blobs/azure.py",
    "azure.appconfiguration": "shared/adapters/flags/key_values.py",
    "azure.messaging": "shared/adapters/live/web_pubsub.py",
    "azure.identity": "shared/adapters/azure_credential.py",
    "azure.monitor": "shared/observability/telemetry_export.py",
    "featuremanagement": "shared/adapters/flags/definition.py",
}
"""The one module that imports each SDK."""


def sources(*packages: str) -> Iterator[Path]:
    """Yield every source file of some packages."""
    for package in packages:
        folder = ROOT.joinpath(*package.split("."))
        if folder.is_dir():
            yield from sorted(folder.rglob("*.py"))
        else:
            yield folder.with_suffix(".py")


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_by(node: ast.AST) -> Iterator[str]:
    """Return what an import statement imports: `a.b` for `import a.b` and, because c may be a module, `a.b.c` for
    `from a.b import c`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide who imports whom"
        assert node.module is not None
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a source; cached, because every test needs the same ones."""
    return ast.parse(source)


@cache
def imports_in(source: str) -> tuple[str, ...]:
    """Return every module a source imports, anywhere in it."""
    return tuple(name for node in ast.walk(parsed(source)) for name in imported_by(node))


def imports(path: Path) -> tuple[str, ...]:
    return imports_in(path.read_text(encoding="utf-8"))


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def package_of(module: str) -> str:
    """Return the entry of `ARROWS` that a module belongs to."""
    return max((package for package in ARROWS if is_in(module, (package,))), key=len, default="")


OURS = (*PACKAGES, *FILES, "tests", "benchmarks", "infra")
"""Every importable package of the project."""


def forbidden_imports(module: str, source: str) -> list[str]:
    """Return a module's imports against the arrows."""
    package = package_of(module)
    return [
        f"{module} imports {name}"
        for name in imports_in(source)
        if is_in(name, OURS) and not is_in(name, (package, *ARROWS[package]))
    ]


def inner_imports(module: str, source: str) -> list[str]:
    """Return a module's project imports inside a function or for type checking only."""
    tree = parsed(source)
    hidden = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If)]
    return [
        f"{module} imports {name} inside a block"
        for node in hidden
        for inner in ast.walk(node)
        for name in imported_by(inner)
        if is_in(name, OURS)
    ]


def circles(sources: Mapping[str, str]) -> list[list[str]]:
    """Return import cycles as lists of modules; found as strongly connected components."""
    graph = {
        module: {
            name
            for found in imports_in(source)
            for name in (found, found.rpartition(".")[0])
            if name in sources and name != module
        }
        for module, source in sources.items()
    }
    reachable: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for each in graph[waiting.pop()] - seen:
                seen.add(each)
                waiting.append(each)
        reachable[start] = seen
    rings = {frozenset(b for b in reachable[a] if a in reachable[b]) for a in graph if a in reachable[a]}
    return sorted(sorted(ring) for ring in rings)


def doubled(endpoints: list[Endpoint], functions: list[str]) -> list[str]:
    """Return endpoints declared twice and function names used twice."""
    routes = [f"{each.method} {each.path}" for each in endpoints]
    return sorted({each for names in (routes, functions) for each in names if names.count(each) > 1})


def declared() -> list[Endpoint]:
    return list(function_app.api.endpoints)


@pytest.mark.parametrize("package", ARROWS)
def test_a_package_imports_only_the_packages_listed_for_it(package: str) -> None:
    found = [
        wrong
        for path in sources(package)
        if package_of(module_of(path)) == package
        for wrong in forbidden_imports(module_of(path), path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_arrow_points_downward() -> None:
    order = list(ARROWS)
    for package, below in ARROWS.items():
        if package != "evaluation":
            wholes = [package_of(each) or each for each in below]
            lower = order[order.index(package) + 1 :]
            assert all(any(is_in(part, (each,)) for part in lower) for each in wholes), package


def test_every_package_has_its_arrows() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= {*PACKAGES, "tests", "benchmarks", "infra"}, "a new package needs its line in ARROWS"
    loose = {path.name for path in (ROOT / "shared").glob("*.py")}
    assert loose == {"__init__.py", "settings.py"}, "what several packages need has a sub-package of shared/"


def our_sources() -> dict[str, str]:
    return {module_of(path): path.read_text(encoding="utf-8") for path in sources(*FILES, *PACKAGES)}


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(our_sources()) == []


def test_no_project_module_is_imported_inside_a_function() -> None:
    assert [wrong for module, source in our_sources().items() for wrong in inner_imports(module, source)] == []


def test_endpoints_and_function_names_are_unique() -> None:
    names = [function.get_function_name() for function in app_functions()]
    assert doubled(declared(), names) == []
    assert {each.name for each in declared()} <= set(names)
    listed = [each for api in (*function_app.APIS, function_app.DocumentApi) for each in endpoints_of(api)]
    assert listed == declared()


SAME_KIND = {"__init__", "__main__", "api", "apis", "models", "responses", "port", "sqlite", "endpoint"}
"""Module names that several packages use for the same kind of thing."""


def test_no_two_modules_have_one_name_for_different_things() -> None:
    names = [path.stem for path in sources(*SHIPPED, "evaluation")]
    assert {name for name in names if names.count(name) > 1} <= SAME_KIND


def test_no_test_name_is_longer_than_80_characters() -> None:
    names = [
        node.name
        for path in sources("tests")
        for node in ast.walk(parsed(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert [name for name in names if len(name) > 80] == []


def test_a_planted_mistake_is_found() -> None:
    assert forbidden_imports("feed.page", "from cms.forms import Form")
    assert forbidden_imports("shared.adapters.refresh", "from shared.web.problems import Problem")
    assert forbidden_imports("shared.domain.records", "import shared.adapters.sqlite")
    assert forbidden_imports("events.api", "import bootstrap")
    assert not forbidden_imports("feed.page", "from ranking.rank import rank")
    assert inner_imports("feed.page", "def late():\n    from feed.catalog import Catalog")
    assert inner_imports("feed.page", "if TYPE_CHECKING:\n    from feed.catalog import Catalog")
    assert circles({"feed.a": "import feed.b", "feed.b": "from feed import c", "feed.c": "from feed.a import A"}) == [
        ["feed.a", "feed.b", "feed.c"]
    ]
    assert circles({"feed.a": "import feed.b", "feed.b": "import os"}) == []
    first = declared()[0]
    assert doubled([*declared(), first], []) == [f"{first.method} {first.path}"]
    assert doubled(declared(), ["get_feed", "roll_up", "get_feed"]) == ["get_feed"]


def test_ranking_uses_numpy_and_never_waits_reads_or_asks_the_time() -> None:
    allowed = ("numpy", "ranking", "shared", "__future__", "typing", "collections", "dataclasses", "functools")
    plain = (
        "hashlib",
        "math",
        "pathlib",
        "abc",
        "base64",
        "json",
        "struct",
        "unicodedata",
        "zlib",
        "itertools",
        "bisect",
        "statistics",
    )
    wrong = [
        f"{place(path)} imports {module}"
        for path in sources("ranking")
        for module in imports(path)
        if place(path) not in (KEEPS_MACHINE_CODE, CHOOSES_MACHINE_CODE) and not is_in(module, (*allowed, *plain))
    ]
    assert wrong == []
    compiling = [place(path) for path in sources("ranking") if any(is_in(m, ("numba",)) for m in imports(path))]
    assert compiling == [KEEPS_MACHINE_CODE], "the compiler is known in one place"


def test_learning_needs_nothing_but_numpy() -> None:
    """The package must not include SciPy, pandas or Arrow; the `evaluation` command line may use them."""
    heavy = ("scipy", "pandas", "pyarrow", "matplotlib", "sklearn", "torch", "numba")
    wrong = [f"{place(path)} imports {m}" for path in sources("learning") for m in imports(path) if is_in(m, heavy)]
    assert wrong == []


def test_machine_code_is_rebuilt_when_any_of_its_sources_changes() -> None:
    compiling = [path for path in sources("ranking") if "@compiled" in path.read_text()]
    elsewhere = {module for path in compiling for module in imports(path) if is_in(module, ("shared",))}
    assert len(compiling) > 4
    assert {module_of(path) for path in INLINED} >= {m.rpartition(".")[0] for m in elsewhere}


@pytest.mark.parametrize(
    "module", ["events/fold.py", "events/schema.py", "events/batch.py", "events/batch_columns.py", "feed/filters.py"]
)
def test_pure_module_gets_the_time_and_never_waits(module: str) -> None:
    impure = ("time", "asyncio", "os", "random", "aiohttp", "bootstrap")
    assert [name for name in imports(ROOT / module) if is_in(name, impure)] == []


def test_azure_functions_is_imported_only_by_endpoint_modules() -> None:
    wrong = [
        place(path)
        for path in sources(*FILES, *PACKAGES)
        if any(is_in(module, ("azure.functions",)) for module in imports(path))
        and not KNOWS_FUNCTIONS.fullmatch(place(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("sdk", SDKS)
def test_each_azure_sdk_is_imported_by_one_module(sdk: str) -> None:
    knowing = {
        place(path) for path in sources(*FILES, *PACKAGES) if any(is_in(module, (sdk,)) for module in imports(path))
    }
    assert knowing <= {SDKS[sdk]}


def test_no_azure_sdk_is_used_that_is_not_in_the_table() -> None:
    known = (*SDKS, "azure.functions", "azure.core")
    wrong = [
        f"{place(path)} imports {module}"
        for path in sources(*FILES, *PACKAGES)
        for module in imports(path)
        if is_in(module, ("azure",)) and not is_in(module, known)
    ]
    assert wrong == []


IMPORT_AND_TELL = """
import json, socket, sys, threading
done = []
FORBIDDEN = ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.rename",
             "os.remove", "os.rmdir", "sqlite3.connect")

def watch(event, arguments):
    if event in FORBIDDEN:
        done.append(event)
    elif event == "open" and isinstance(arguments[0], str) and arguments[1] and set(arguments[1]) & set("wax+"):
        done.append("open " + arguments[0])

sys.dont_write_bytecode = True
sys.addaudithook(watch)
import function_app
heavy = [name for name in ("azure.cosmos", "azure.servicebus", "azure.storage", "azure.appconfiguration",
                           "azure.identity", "pyarrow", "tqdm", "aiohttp.web", "local") if name in sys.modules]
print(json.dumps({"done": done, "heavy": heavy, "threads": threading.active_count()}))
"""


def test_importing_the_app_connects_writes_and_starts_nothing(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    # Machine code is written once, like byte code.
    subprocess.run([sys.executable, "-c", "import function_app"], cwd=tmp_path, env=environment, check=True)
    told = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_TELL],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == {"done": [], "heavy": [], "threads": 1}
    assert list(tmp_path.iterdir()) == []


BUILD_AND_TELL = """
import json, os, sys, threading
done = []
sys.addaudithook(lambda event, _: done.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
import function_app
from bootstrap import build
from shared.settings import Settings
build(Settings.from_environment(os.environ))
sdks = [name for name in ("azure.cosmos", "azure.servicebus", "azure.storage", "azure.appconfiguration")
        if name in sys.modules]
print(json.dumps({"done": done, "sdks": len(sdks), "threads": threading.active_count()}))
"""


@pytest.mark.parametrize("by", ["managed identity", "connection string"])
def test_importing_and_building_the_azure_adapters_connects_to_nothing(by: str, tmp_path: Path) -> None:
    key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    settings = {**example("ValuesOnAzure"), "SIGNING_KEYS": f"k:{key}", "IDENTITY_SECRET": key}
    if by == "connection string":
        settings |= {
            "COSMOS_ENDPOINT": "",
            "COSMOS_CONNECTION_STRING": f"AccountEndpoint=http://127.0.0.1:1/;AccountKey={key};",
            "ServiceBusConnection__fullyQualifiedNamespace": "",
            "ServiceBusConnection": f"Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=k;SharedAccessKey={key};",
            "BLOB_ENDPOINT": "",
            "BLOB_CONNECTION_STRING": f"AccountName=a;AccountKey={key};BlobEndpoint=http://127.0.0.1:1/a;",
            "APP_CONFIGURATION_ENDPOINT": "",
            "APP_CONFIGURATION_CONNECTION_STRING": f"Endpoint=http://127.0.0.1:1;Id=i;Secret={key}",
        }
    told = subprocess.run(
        [sys.executable, "-c", BUILD_AND_TELL],
        cwd=tmp_path,
        env={**settings, "PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == {"done": [], "sdks": 4, "threads": 1}


# ---- settings


def example(name: str) -> dict[str, str]:
    values = json.loads((ROOT / "local.settings.example.json").read_text())[name]
    assert all(isinstance(value, str) for value in values.values()), "app settings are texts"
    return dict(values)


def test_example_settings_are_exactly_the_declared_ones() -> None:
    of_the_host = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "AzureWebJobsStorage__accountName"}
    given = set(example("Values")) | set(example("ValuesOnAzure"))
    assert given - of_the_host == {setting.name for setting in SETTINGS.values()}


def test_both_sets_of_example_settings_work_unchanged() -> None:
    embedded = Settings.from_environment(example("Values"))
    assert embedded.embedded
    on_azure = Settings.from_environment(example("ValuesOnAzure"))
    assert (on_azure.document_store, on_azure.bus, on_azure.blobs, on_azure.flags) == (
        "cosmos",
        "servicebus",
        "azure",
        "appconfig",
    )


def test_example_settings_hold_no_secret() -> None:
    for name in ("Values", "ValuesOnAzure"):
        values = example(name)
        for setting in SETTINGS.values():
            if setting.secret:
                assert values.get(setting.name, "") == "" or values[setting.name].startswith("@Microsoft.KeyVault(")


def test_every_setting_is_documented_with_its_default_and_meaning() -> None:
    documented = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [s.name for s in SETTINGS.values() if f"`{s.name}`" not in documented or s.help not in documented]
    assert missing == []


def test_every_counted_metric_is_in_the_table_with_its_number_of_labels() -> None:
    """A wrong name or label count would show as nothing on a dashboard."""
    wrong = []
    for path in sources(*SHIPPED, "local"):
        for node in ast.walk(parsed(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            if not ast.unparse(node.func.value).endswith("telemetry"):
                continue
            method, first = node.func.attr, node.args[0]
            if method not in ("count", "gauge", "observe_ms") or not isinstance(first, ast.Constant):
                continue
            if not isinstance(first.value, str) or any(isinstance(each, ast.Starred) for each in node.args):
                continue
            labels = len(node.args) - (1 if method == "count" else 2)
            if first.value not in METRICS or len(METRICS[first.value][1]) != labels:
                wrong.append(f"{place(path)}:{node.lineno} {first.value} with {labels} labels")
    assert wrong == []


def lost_updates(source: str) -> list[int]:
    """Return lines of `shared += await …`, which lose concurrent changes, because the old value is read before the
    await."""
    lines = []
    for function in ast.walk(parsed(source)):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        outer = {
            name for node in ast.walk(function) if isinstance(node, ast.Nonlocal | ast.Global) for name in node.names
        }
        for node in ast.walk(function):
            if isinstance(node, ast.AugAssign) and any(isinstance(part, ast.Await) for part in ast.walk(node.value)):
                local = isinstance(node.target, ast.Name) and node.target.id not in outer
                if not local:
                    lines.append(node.lineno)
    return lines


def test_no_counter_is_read_before_an_await_and_written_after_it() -> None:
    found = {place(path): lines for path in sources(*FILES, *PACKAGES) if (lines := lost_updates(path.read_text()))}
    assert found == {}


def test_the_check_of_counters_finds_one_that_loses_updates() -> None:
    assert lost_updates("async def f(self):\n    self.n += await g()\n    n += await g()\n    d[1] += 1\n") == [2]
    assert lost_updates("async def f():\n    nonlocal n\n    n += await g()\n") == [3]


def _names_of(path: Path) -> set[str]:
    """Return the top-level names of a module, also within an `if` or a `try`."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                found.add(inner.id)
            elif isinstance(inner, ast.alias):
                found.add((inner.asname or inner.name).partition(".")[0])
            elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(inner.name)
    return found


def test_imports_of_programs_exist() -> None:
    """No test imports benchmarks and tools, so nothing else would detect it."""
    names: dict[Path, set[str]] = {}
    missing = []
    for path in sources("benchmarks", "infra", "commands", "tests.e2e", "tests.chaos"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
                continue
            folder = ROOT.joinpath(*node.module.split("."))
            file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
            if not file.exists():
                continue  # not ours
            there = names.setdefault(file, _names_of(file))
            missing += [
                f"{place(path)}: {node.module} has no {each.name}"
                for each in node.names
                if each.name not in there
                and not (folder / each.name).exists()
                and not (folder / f"{each.name}.py").exists()
            ]
    assert missing == []
