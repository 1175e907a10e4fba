"""The rules of the house, read off the source: who imports whom, who knows Azure, what importing may do."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ranking.compiled import INLINED
from shared.settings import SETTINGS, Settings

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("feed", "events", "ranking", "cms", "shared", "local", "evaluation")
SHIPPED = ("feed", "events", "ranking", "cms", "shared")

ARROWS: dict[str, tuple[str, ...]] = {
    "function_app": ("feed", "events", "cms", "shared"),
    "local": ("feed", "events", "cms", "shared", "function_app"),
    "cms": ("feed", "ranking", "shared"),
    "feed": ("ranking", "shared"),
    "events": ("ranking", "shared"),
    "ranking": (
        "shared.domain.records",
        "shared.domain.fingerprint",
        "shared.domain.user_signals",
        "shared.domain.event_types",
    ),
    "shared": (),
    "evaluation": ("ranking", "shared", "feed.filters", "events.fold", "events.schema"),
}
"""Room → what of ours it may import beside itself: whole rooms, or single modules of one.

`local` hosts the app object itself; `ranking` takes plain records only; the fold's input is an `Event` of the schema.
"""

LOCAL_MAY_RANK = ("local/demo.py",)
"""The demo writes statistics as the roll-up does."""

KEEPS_MACHINE_CODE = "ranking/compiled.py"
"""It reads and keeps files, at import only."""

KNOWS_FUNCTIONS = re.compile(
    r"function_app\.py|shared/http\.py|local/[a-z_]+\.py|(feed|events|cms)/([a-z]+_)?api\.py"
    r"|feed/(debug|status|export)\.py|events/(privacy|trigger)\.py|cms/call\.py"
)
"""Where `azure.functions` may be imported: the modules that hold endpoints, and what stands around them."""

SDKS = {
    "azure.cosmos": "shared/adapters/documents/cosmos.py",
    "azure.servicebus": "shared/adapters/bus/servicebus.py",
    "azure.storage": "shared/adapters/blobs/azure.py",
    "azure.appconfiguration": "shared/adapters/flags/app_configuration.py",
    "azure.identity": "shared/adapters/azure_credential.py",
    "azure.monitor": "shared/observability/export.py",
    "featuremanagement": "shared/adapters/flags/evaluation.py",
}
"""The one module that knows each SDK."""


def sources(*rooms: str) -> Iterator[Path]:
    """Every source file of some rooms; `function_app` is a file."""
    for room in rooms:
        if room == "function_app":
            yield ROOT / "function_app.py"
        else:
            yield from sorted((ROOT / room).rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file: `a.b` for `import a.b` and for `from a.b import c`;
    `from a import b` gives `a.b`, because b may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path)}: relative imports hide who imports whom"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_what_the_house_allows(room: str) -> None:
    ours = (*ROOMS, "function_app", "tests", "benchmarks")
    wrong = [
        f"{place(path)} imports {module}"
        for path in sources(room)
        for module in imports(path)
        if is_in(module, ours)
        and not is_in(module, (room, *ARROWS[room]))
        and not (place(path) in LOCAL_MAY_RANK and is_in(module, ("ranking",)))
    ]
    assert wrong == []


def test_every_room_has_its_arrows() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= {*ROOMS, "tests", "benchmarks", "infra"}, "a new room needs its line in ARROWS"


def test_ranking_is_pure_it_knows_numpy_and_nothing_that_waits_reads_or_tells_the_time() -> None:
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
        if place(path) != KEEPS_MACHINE_CODE and not is_in(module, (*allowed, *plain))
    ]
    assert wrong == []
    compiling = [place(path) for path in sources("ranking") if any(is_in(m, ("numba",)) for m in imports(path))]
    assert compiling == [KEEPS_MACHINE_CODE], "the compiler is known in one place"


def test_machine_code_is_thrown_away_when_any_source_it_was_made_from_changed() -> None:
    compiling = [path for path in sources("ranking") if "@compiled" in path.read_text()]
    elsewhere = {module for path in compiling for module in imports(path) if is_in(module, ("shared",))}
    assert len(compiling) > 4
    assert {".".join(path.with_suffix("").parts[-2:]) for path in INLINED} >= {m.rpartition(".")[0] for m in elsewhere}


@pytest.mark.parametrize("module", ["events/fold.py", "events/schema.py", "events/batch.py", "feed/filters.py"])
def test_a_pure_module_is_told_the_time_and_never_waits(module: str) -> None:
    impure = ("time", "asyncio", "os", "random", "aiohttp", "bootstrap")
    assert [name for name in imports(ROOT / module) if is_in(name, impure)] == []


def test_azure_functions_is_known_only_where_endpoints_are() -> None:
    wrong = [
        place(path)
        for path in sources("function_app", *ROOMS)
        if any(is_in(module, ("azure.functions",)) for module in imports(path))
        and not KNOWS_FUNCTIONS.fullmatch(place(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("sdk", SDKS)
def test_each_azure_sdk_is_known_to_one_module(sdk: str) -> None:
    knowing = {
        place(path)
        for path in sources("function_app", *ROOMS)
        if any(is_in(module, (sdk,)) for module in imports(path))
    }
    assert knowing <= {SDKS[sdk]}


def test_no_azure_sdk_is_used_that_is_not_in_the_table() -> None:
    known = (*SDKS, "azure.functions", "azure.core")
    wrong = [
        f"{place(path)} imports {module}"
        for path in sources("function_app", *ROOMS)
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


def test_importing_the_app_connects_to_nothing_writes_nothing_and_starts_nothing(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    # Machine code is written once, as byte code is.
    subprocess.run([sys.executable, "-c", "import ranking"], cwd=tmp_path, env=environment, check=True)
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
def test_importing_the_azure_adapters_and_building_on_them_connects_to_nothing(by: str, tmp_path: Path) -> None:
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


def test_every_setting_is_in_the_example_and_the_example_has_no_other() -> None:
    of_the_host = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "AzureWebJobsStorage__accountName"}
    given = set(example("Values")) | set(example("ValuesOnAzure"))
    assert given - of_the_host == {setting.name for setting in SETTINGS.values()}


def test_both_sets_of_the_example_work_as_they_are() -> None:
    embedded = Settings.from_environment(example("Values"))
    assert embedded.embedded
    on_azure = Settings.from_environment(example("ValuesOnAzure"))
    assert (on_azure.document_store, on_azure.bus, on_azure.blobs, on_azure.flags) == (
        "cosmos",
        "servicebus",
        "azure",
        "appconfig",
    )


def test_the_example_holds_no_secret() -> None:
    for name in ("Values", "ValuesOnAzure"):
        values = example(name)
        for setting in SETTINGS.values():
            if setting.secret:
                assert values.get(setting.name, "") == "" or values[setting.name].startswith("@Microsoft.KeyVault(")


def test_every_setting_is_documented_with_its_default_and_what_it_does() -> None:
    documented = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [s.name for s in SETTINGS.values() if f"`{s.name}`" not in documented or s.help not in documented]
    assert missing == []


def test_every_metric_the_code_counts_is_in_the_table_with_as_many_labels() -> None:
    """A name or a label too many would show up on a dashboard as nothing at all."""
    from shared.observability.metrics import METRICS

    wrong = []
    for path in sources(*SHIPPED, "local"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
