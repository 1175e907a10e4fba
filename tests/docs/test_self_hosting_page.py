"""Commands of the self-hosting page run as written, with other folders and ports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.docs.pages import ROOT, pages
from tests.e2e.fleet import free_port
from tests.firewall.server import PACKAGES
from tests.served_app import eventually, new_user
from tests.skip_reasons import leave_out

PAGE = pages()["docs/self-hosting.md"]
START_SECONDS = 120.0
NAME = "feed.example.com"
SHARED_OBJECTS = "/usr/lib/apache2/modules"


@dataclass
class Machine:
    """A machine with the page's folders under `root`, and the app of its first block at `port`."""

    root: Path
    port: int
    variables: dict[str, str]

    def here(self, text: str) -> str:
        """Adapt a command of the page to this machine."""
        text = text.replace(".venv/bin/python", sys.executable).replace(":7071", f":{self.port}")
        return re.sub(r"(?<![\w.])/(var|etc)/", f"{self.root}/\\1/", text).replace("--port 7071", f"--port {self.port}")

    async def run(self, block: str) -> str:
        """Run the commands of a block; return their output and keep variables for the next block."""
        kept = self.root / "variables"
        ended = await asyncio.create_subprocess_exec(
            "bash", "-c", f"set -aeo pipefail\n{self.here(block)}\nenv -0 > {kept}", cwd=ROOT, env=self.variables,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed = (await ended.communicate())[0].decode()
        assert ended.returncode == 0, printed
        self.variables = dict(each.split("=", 1) for each in kept.read_text().split("\0") if each)
        return printed

    @contextlib.asynccontextmanager
    async def serving(self, block: str, folder: str = "/var/lib/feed") -> AsyncIterator[None]:
        """Run the app as a block starts it, until the context ends."""
        words = self.here(block.replace("/var/lib/feed", folder)).split("\n")
        program = await asyncio.create_subprocess_exec(
            "bash", "-c", f"{words[0]}; exec {words[1]}", cwd=ROOT, env=self.variables, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert program.stdout is not None
            line = await asyncio.wait_for(program.stdout.readline(), START_SECONDS)
            assert line.startswith(b"Serving on "), line
            yield
        finally:
            if program.returncode is None:
                program.terminate()
            await program.wait()

    async def served_because(self, reason: str, viewer: dict[str, str]) -> bool:
        """Return whether the next feed has this reason."""
        return (await self.ask("GET", "/v1/feed", viewer))["reason"] == reason

    async def ask(self, method: str, path: str, headers: dict[str, str], body: object = None) -> dict[str, object]:
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers, json=body) as answer,
        ):
            assert answer.status in (200, 201, 202), await answer.text()
            found: dict[str, object] = await answer.json()
            return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for folder in ("var/lib", "var/backups", "etc/ssl"):
        (tmp_path / folder).mkdir(parents=True)
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return Machine(tmp_path, free_port(), {**variables, "PYTHONPATH": str(ROOT)})


def blocks(language: str) -> dict[str, list[str]]:
    """The blocks of each section."""
    found: dict[str, list[str]] = {}
    for block in PAGE.blocks:
        if block.language == language:
            found.setdefault(block.place.section, []).append(block.text)
    return found


async def test_every_command_works_as_described(machine: Machine) -> None:
    of = blocks("sh")
    start, first_tenant = of["start"]
    editor, viewer = {"X-Tenant-Id": "news"}, {"X-Tenant-Id": "news", "X-User": new_user()}
    video = {"id": "one", "title": "One", "playbackUrl": "https://cdn.example/1.m3u8", "mainTag": "news"}
    async with machine.serving(start):
        await machine.run("export DATA_FOLDER=/var/lib/feed")
        made = json.loads(await machine.run(first_tenant))
        editor["X-Api-Key"], viewer["X-Api-Key"] = made["key"], made["appKey"]
        rows = {"videos": [{**video, "durationSeconds": 30, "maturityRating": "PG"}]}
        assert (await machine.ask("POST", "/v1/cms/imports", editor, rows))["rows"]
        before = await machine.ask("GET", "/v1/cms/videos/one", editor)
        assert "The secrets are in it" in await machine.run(of["backup"][0])
        assert (machine.root / "var/backups/feed.tar.gz").stat().st_mode & 0o777 == 0o600
        assert "is as it was at" in await machine.run(of["restore"][0])
        rotate_signing_key, rotate_tenants_key = of["rotate-keys"]
        assert "A new key signs" in await machine.run(rotate_signing_key)
        list_keys, rotate_key = rotate_tenants_key.split("curl")[1:]
        editors = next(
            key for key in json.loads(await machine.run(f"curl{list_keys}"))["keys"] if key["name"] == "Anna"
        )
        machine.variables["KEY_ID"] = editors["id"]
        assert json.loads(await machine.run(f"curl{rotate_key}"))["key"] != made["key"]
        printed = await machine.run(of["dead-letters"][0])
        assert "0 dead letters of signals" in printed
        await machine.run(of["pull-the-switch"][0])
        await machine.run(of["upgrade"][0].split("git pull")[0])
        await eventually(lambda: machine.served_because("kill_switch", viewer))
    async with machine.serving(start, "/var/lib/feed-again"):
        assert await machine.ask("GET", "/v1/cms/videos/one", editor) == before
        assert not await machine.served_because("kill_switch", viewer)


async def test_proxy_forwards_every_request_under_tls(machine: Machine) -> None:
    if not PACKAGES["apache2"].exists():
        leave_out("the proxy of the page about one machine needs Apache: apt-get install apache2")
    (config,) = blocks("apache")["tls"]
    tls_port = free_port()
    modules = ("mpm_event", "authz_core", "ssl", "proxy", "proxy_http", "socache_shmcb")
    await machine.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=feed.example.com "
        "-addext subjectAltName=DNS:feed.example.com -keyout /etc/ssl/feed.key -out /etc/ssl/feed.crt 2>&1"
    )
    lines = [f"ServerRoot {machine.root}", f"PidFile {machine.root}/httpd.pid", f"ErrorLog {machine.root}/error.log"]
    lines += [f"LoadModule {each}_module {SHARED_OBJECTS}/mod_{each}.so" for each in modules]
    lines += [f"Listen 127.0.0.1:{tls_port}", machine.here(config).replace("*:443", f"*:{tls_port}")]
    httpd = machine.root / "httpd.conf"
    httpd.write_text("\n".join(lines))
    async with machine.serving(blocks("sh")["start"][0]):
        proxy = await asyncio.create_subprocess_exec(str(PACKAGES["apache2"]), "-f", str(httpd), "-D", "FOREGROUND")
        try:
            trusted = ssl.create_default_context(cafile=str(machine.root / "etc/ssl/feed.crt"))
            connector = aiohttp.TCPConnector(ssl=trusted, resolver=_Here())
            async with aiohttp.ClientSession(connector=connector) as http, asyncio.timeout(START_SECONDS):
                while True:
                    with contextlib.suppress(aiohttp.ClientConnectorError):
                        async with http.get(f"https://{NAME}:{tls_port}/v1/feed?limit=5") as answer:
                            assert answer.status == 400, await answer.text()
                            assert (await answer.json())["code"] == "missing_tenant"  # the app's own answer
                            assert answer.content_type == "application/problem+json"
                            return
                    assert proxy.returncode is None, (machine.root / "error.log").read_text()
                    await asyncio.sleep(0.1)
        finally:
            if proxy.returncode is None:
                proxy.terminate()
            await proxy.wait()


class _Here(aiohttp.abc.AbstractResolver):
    """Resolves every name to this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Close nothing."""
