"""Starts the firewall in front of an app and reports refused requests with their rules."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.fleet import free_port
from tests.firewall.configuration import CRS, CRS_SETUP, MODULES, REFUSED, apache
from tests.infra.firewall import Firewall, Policy

PACKAGES = {
    "apache2": Path("/usr/sbin/apache2"),
    "libapache2-mod-security2": MODULES / "security2.load",
    "modsecurity-crs": CRS_SETUP,
}
"""Debian package → a file of it."""
START_SECONDS = 60.0
_RULE = re.compile(r'\[id "(\d+)"\]')
_REQUEST = re.compile(r'\[unique_id "[^"]+"\]')
_DATA = re.compile(r'\[data "[^"]*"\]')
_VERDICT = "949110"
"""The rule that sums the scores of the others."""


def missing_packages() -> list[str]:
    """Return the Debian packages to install before a firewall can be started."""
    return [name for name, file in PACKAGES.items() if not file.exists()]


def how_to_get_them() -> str:
    return f"the firewall needs packages of Debian: apt-get install --no-install-recommends {' '.join(PACKAGES)}"


def is_refusal(status: int, body: bytes) -> bool:
    """Return whether a response is the firewall's and not the app's."""
    return status == 403 and body.strip() == REFUSED.encode()


def version() -> str:
    """Return the version of the public rule set."""
    found = re.search(r"OWASP_CRS/([\d.]+)", (CRS / "REQUEST-911-METHOD-ENFORCEMENT.conf").read_text())
    return found[1] if found else "unknown"


@dataclass(frozen=True)
class Wall:
    """A running firewall. `url` is its entry; `urls` lead past the path map to one policy each. No slash at the end."""

    url: str
    urls: Mapping[str, str]
    folder: Path

    def rules(self, policy: str) -> Counter[str]:
        """Return how often each rule has matched under a policy since `forget`."""
        log = self.folder / f"{policy}.log"
        matched = Counter(_RULE.findall(log.read_text(errors="replace"))) if log.exists() else Counter()
        del matched[_VERDICT]
        return matched

    def calls(self) -> Counter[str]:
        """Return how often each method and path was requested since `forget`, without queries."""
        return Counter((self.folder / "calls.log").read_text().splitlines())

    async def missing(self, wanted: set[str]) -> set[str]:
        """Return which of these calls were not requested. Waits a little: Apache writes its log after the response."""
        for _ in range(100):
            if not (missing := wanted - self.calls().keys()):
                break
            await asyncio.sleep(0.05)
        return missing

    def last_refusal(self) -> str:
        """Return the rules that matched the last refused request, with the matched text."""
        lines = sorted(line for name in self.urls for line in self._lines(name))
        denied = [line for line in lines if "Access denied" in line]
        found = _REQUEST.search(denied[-1]) if denied else None
        of_it = [line for line in lines if found and found[0] in line]
        return "; ".join(f"{rule[1]} {_matched(line)}" for line in of_it if (rule := _RULE.search(line)))

    def _lines(self, policy: str) -> list[str]:
        log = self.folder / f"{policy}.log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def refusals(self) -> int:
        """How many requests were refused since `forget`."""
        logs = (self.folder / f"{name}.log" for name in self.urls)
        return sum(log.read_text(errors="replace").count("Access denied with code 403") for log in logs if log.exists())

    def forget(self) -> None:
        """Empty the logs."""
        for log in self.folder.glob("*.log"):
            os.truncate(log, 0)


def _matched(line: str) -> str:
    found = _DATA.search(line)
    return found[0] if found else ""


@asynccontextmanager
async def walled(firewall: Firewall, app_url: str, also: Mapping[str, Policy] | None = None) -> AsyncIterator[Wall]:
    """Run a snapshot's firewall in front of the app at `app_url`.

    `also` are policies that no path has, to be asked through `urls`. RuntimeError when Apache does not start.
    """
    policies = {policy.name: policy for policy in firewall.policies.values()} | dict(also or {})
    ports = {name: free_port() for name in ("", *policies)}
    folder = Path(tempfile.mkdtemp(prefix="firewall-"))
    user = "www-data" if os.geteuid() == 0 else ""
    try:
        folder.chmod(0o755)
        (folder / "data").mkdir()
        if user:
            shutil.chown(folder / "data", user)
        app_port = int(app_url.rsplit(":", 1)[1])
        (folder / "httpd.conf").write_text(apache(folder, firewall, policies, ports, app_port, user))
        with (folder / "printed.log").open("wb") as printed:
            process = await asyncio.create_subprocess_exec(
                str(PACKAGES["apache2"]), "-f", str(folder / "httpd.conf"), "-D", "FOREGROUND",
                stdin=asyncio.subprocess.DEVNULL, stdout=printed, stderr=printed,
            )  # fmt: skip
        try:
            await _listening(process, ports[""], folder)
            urls = {name: f"http://localhost:{port}" for name, port in ports.items()}
            yield Wall(urls.pop(""), urls, folder)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
    finally:
        shutil.rmtree(folder)


async def _listening(process: asyncio.subprocess.Process, port: int, folder: Path) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
    logs = [
        path.read_text(errors="replace") for path in (folder / "printed.log", folder / "error.log") if path.exists()
    ]
    raise RuntimeError("Apache did not start:\n" + "\n".join(logs))
