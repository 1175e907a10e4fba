"""Runs the official Bicep compiler on `infra/bicep`: templates, parameters, snapshots, findings.

All tests and worker processes share one compilation, cached in `.pytest_cache/bicep` under a hash of the sources.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.skip_reasons import leave_out

ROOT = Path(__file__).resolve().parents[2]
BICEP = ROOT / "infra" / "bicep"
CACHE = ROOT / ".pytest_cache" / "bicep"
PINNED = re.search(r"BICEP_VERSION: (v[\d.]+)", (ROOT / ".github" / "workflows" / "checks.yml").read_text())
HOW_TO_GET_IT = (
    f"the Bicep compiler is not here: `az bicep install --version {PINNED[1] if PINNED else ''}`, "
    "or name one in the variable BICEP"
)
NAMES = {
    "subscriptionId": "11111111-1111-1111-1111-111111111111",
    "tenantId": "22222222-2222-2222-2222-222222222222",
    "resourceGroup": "rg-vfeed",
    "location": "westeurope",
    "deploymentName": "main",
}
"""Fictitious target of the snapshots."""
VARIABLES = {
    "ALERT_EMAIL": "",
    "DEPLOY_ENTRY": "",
    "FIREWALL_MODE": "",
    "RECOVER": "",
    "DEPLOY_LOCATION": "westeurope",
    "DEPLOY_GROUP": "rg-vfeed",
    "DEPLOY_ENVIRONMENT": "prod",
    "GITHUB_SUBJECT_PREFIX": "repo:OWNER@1/NAME@2",
}
"""Environment variables of the parameter files; empty as a pipeline passes unset ones."""


@dataclass(frozen=True)
class Compiled:
    """Templates by entry file, parameters and snapshots by environment, and the compiler's messages."""

    version: str
    findings: list[str] = field(default_factory=list)
    unformatted: list[str] = field(default_factory=list)
    templates: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    snapshots: dict[str, Any] = field(default_factory=dict)


class Compiler:
    """The compiler as one process with JSON-RPC: it loads the types once for all files."""

    def __init__(self, program: Path):
        environment = {**os.environ, **VARIABLES}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([program, "jsonrpc", "--stdio"], env=environment, **pipes)
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def ask(self, method: str, path: Path | None = None, **parameters: Any) -> Any:
        """Return the result of `bicep/METHOD`; raises RuntimeError when the compiler fails."""
        self._asked += 1
        if path is not None:
            parameters["path"] = str(path)
        message = {"jsonrpc": "2.0", "id": self._asked, "method": f"bicep/{method}", "params": parameters}
        body = json.dumps(message).encode()
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        to.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        to.flush()
        length = 0
        while line := back.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        answer = json.loads(back.read(length) or b'{"error": "the compiler ended"}')
        if "error" in answer:
            raise RuntimeError(f"{method} {path}: {answer['error']}")
        return answer["result"]

    def findings(self, answer: dict[str, Any]) -> list[str]:
        """Return errors, warnings and linter findings as `file:line code message`."""
        return [
            f"{Path(each['source']).name}:{each['range']['start']['line'] + 1} {each['code']} {each['message']}"
            for each in answer["diagnostics"]
        ]

    def unformatted(self, folder: Path) -> list[str]:
        """Return files below a folder that are not in the standard format."""
        paths = sorted([*folder.rglob("*.bicep"), *folder.rglob("*.bicepparam")])
        wrong = [path for path in paths if self.ask("format", path)["contents"] != path.read_text()]
        return [path.relative_to(folder).as_posix() for path in wrong]


def find() -> Path | None:
    """Return $BICEP, `bicep` on the path, or the Azure CLI's copy."""
    candidates = [os.environ.get("BICEP"), shutil.which("bicep"), str(Path.home() / ".azure" / "bin" / "bicep")]
    return next((Path(each).absolute() for each in candidates if each and Path(each).is_file()), None)


def program() -> Path:
    """Return the compiler; without one the test is skipped, which the pipeline does not accept."""
    return find() or leave_out(HOW_TO_GET_IT, unless="CI")


@functools.cache
def compiled() -> Compiled:
    """Compile the checkout, or reuse what another process or an earlier run compiled from the same sources."""
    bicep = program()
    seen = hashlib.sha256(f"{bicep} {bicep.stat().st_size} {bicep.stat().st_mtime_ns}".encode())
    for path in sorted([Path(__file__), ROOT / "infra" / "operate.py", *BICEP.rglob("*")]):
        if path.is_file():
            seen.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / f"{seen.hexdigest()[:20]}.json"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            for old in CACHE.glob("*.json"):
                old.unlink()
            with Compiler(bicep) as compiler:
                made = compile_all(compiler, BICEP)
            kept.with_suffix(".part").write_text(json.dumps(asdict(made)))
            kept.with_suffix(".part").rename(kept)
    return Compiled(**json.loads(kept.read_text()))


def compile_all(compiler: Compiler, folder: Path) -> Compiled:
    """Build, lint, format-check and resolve everything below a folder: about 15 s of CPU."""
    made = Compiled(compiler.ask("version")["version"], unformatted=compiler.unformatted(folder))
    for path in sorted(folder.glob("*.bicep")):
        answer = compiler.ask("compile", path)
        made.findings.extend(compiler.findings(answer))
        made.templates[path.name] = json.loads(answer["contents"] or "null")
    for path in sorted(folder.glob("env/*.bicepparam")):
        answer = compiler.ask("compileParams", path, parameterOverrides={})
        made.findings.extend(compiler.findings(answer))
        if made.findings:
            break
        made.parameters[path.stem] = json.loads(answer["parameters"])["parameters"]
        names = dict(NAMES)
        if "subscriptionDeploymentTemplate" in answer["template"]:
            del names["resourceGroup"]
        snapshot = compiler.ask("getSnapshot", path, metadata=names, externalInputs=[])["snapshot"]
        made.snapshots[path.stem] = json.loads(snapshot)
    return made
