"""`python -m local` as a user starts and stops it: its output and its timing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.__main__ import DEMO_USER
from local.demo import SDK_KEY
from tests.served_app import ROOT

START_SECONDS = 120.0


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "DATA_FOLDER": str(folder / "data"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "local", *arguments]
    program = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield program
    finally:
        if program.poll() is None:
            program.kill()
        program.wait(START_SECONDS)


def test_port_is_optional_and_page_hints_and_ctrl_c_work(tmp_path: Path) -> None:
    with started(tmp_path, "--port", "0") as program:
        assert program.stdout is not None
        lines = [program.stdout.readline()]
        while "as an operator" not in lines[-1]:
            lines.append(program.stdout.readline())
            assert lines[-1] or program.poll() is None, lines
        (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", lines[0]))
        assert f"Watch the demo: open {url}/" in "".join(lines)
        hints = re.findall(r"^ +(curl .*json\.tool)$", "".join(lines), re.MULTILINE)
        assert len(hints) == 3
        answers = [
            json.loads(subprocess.run(["bash", "-c", hint], cwd=ROOT, capture_output=True, check=True).stdout)
            for hint in hints
        ]
        assert answers[0]["reason"] == "cold_start"
        assert answers[1]["accepted"] == 10
        open_connection = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        head = f"X-Tenant-Id: tenant_1\r\nX-Api-Key: {SDK_KEY}\r\nX-User: {DEMO_USER}"
        open_connection.sendall(f"GET /v1/feed HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
        assert open_connection.recv(15) == b"HTTP/1.1 200 OK"
        began = time.monotonic()
        program.send_signal(signal.SIGINT)
        assert program.wait(START_SECONDS) == 0
        took = time.monotonic() - began
        open_connection.close()
        assert took < 3.0, "a second, on a machine that does nothing else"


def test_taken_port_is_reported_at_once_with_the_option_to_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with started(tmp_path, "--port", str(port)) as program:
            said, _ = program.communicate(timeout=START_SECONDS)
    assert program.returncode == 2
    assert f"Port {port} on 127.0.0.1 is taken" in said
    assert f"--port {port + 1}" in said
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists(), "nothing was begun"
