"""`python -m commands.switch_flag FLAG on|off [--tenant T]`: switches a flag where the settings say flags live."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import orjson

from shared.adapters import backends
from shared.adapters.flags.file import checked
from shared.adapters.flags.port import FlagsUnavailable
from shared.adapters.flags.switching import switched
from shared.settings import BadSetting, Settings


def main() -> int:
    """Exit code 0 when switched, 2 with one sentence on what to do."""
    parser = argparse.ArgumentParser(prog="python -m commands.switch_flag", description=__doc__)
    parser.add_argument("flag")
    parser.add_argument("to", choices=("on", "off"))
    parser.add_argument("--tenant", help="switch for this tenant alone")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environment(os.environ)
        switch(settings, arguments.flag, arguments.to == "on", arguments.tenant)
    except (BadSetting, FlagsUnavailable, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.flag} is {arguments.to}" + (f" for {arguments.tenant}" if arguments.tenant else ""))
    return 0


def switch(settings: Settings, name: str, on: bool, tenant_id: str | None = None) -> None:
    """Switch where the settings say. Raises `FlagsUnavailable`, `OSError`, `ValueError`."""
    if settings.flags == "appconfig":
        with backends.flag_store(settings) as store:
            store.switch(name, on, tenant_id)
    else:
        switch_file(backends.flags_file(settings), name, on, tenant_id)


def switch_file(path: Path, name: str, on: bool, tenant_id: str | None = None) -> None:
    """Switch in a file, in one step: a reader sees the old flags or the new ones. Raises `OSError`, `ValueError`."""
    document = checked(orjson.loads(path.read_bytes())) if path.exists() else {}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(orjson.dumps(switched(document, name, on, tenant_id), option=orjson.OPT_INDENT_2) + b"\n")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
