"""Runs Azurite, Microsoft's Blob Storage emulator for Node: one process, one account per test."""

from __future__ import annotations

import atexit
import base64
import itertools
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.skip_reasons import leave_out

HERE = Path(__file__).parent
PROGRAM = HERE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
ACCOUNTS = 300
START_SECONDS = 60.0


def needs_azurite() -> None:
    """Skip the test where Node or Azurite is missing."""
    if shutil.which("node") is None:
        leave_out("Blob Storage needs Node: install Node 20 or newer")
    if not PROGRAM.exists():
        leave_out("Blob Storage needs Azurite: run `make test` once with npm at hand")


class Azurite:
    """Start with `start`; `account` returns the connection string of an unused account."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or _free_port()
        self._next = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        needs_azurite()
        accounts = ";".join(f"account{n}:{_key(n)}" for n in range(ACCOUNTS))
        arguments = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        self._process = subprocess.Popen(
            ["node", str(PROGRAM), *arguments, "--blobPort", str(self.port)],
            env={**os.environ, "AZURITE_ACCOUNTS": accounts},
            cwd=HERE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.stop)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"Azurite did not start on port {self.port}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def account(self) -> str:
        n = next(self._next)
        if n >= ACCOUNTS:
            raise RuntimeError("every account is used")
        return (
            f"DefaultEndpointsProtocol=http;AccountName=account{n};AccountKey={_key(n)};"
            f"BlobEndpoint=http://127.0.0.1:{self.port}/account{n};"
        )


_running: Azurite | None = None


def running() -> Azurite:
    """Return the one process of this test run, started on first use."""
    global _running
    if _running is None:
        azurite = Azurite()
        azurite.start()
        _running = azurite
    return _running


def _key(n: int) -> str:
    return base64.b64encode(f"the key of test account {n}".encode()).decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
