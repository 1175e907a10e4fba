"""`python -m commands.switch_flag FLAG on|off [--tenant T]`: switches a flag in the flag store of the settings."""

from __future__ import annotations

import argparse
import codecs
import os
import sys
from pathlib import Path

import orjson

from shared.adapters import backends
from shared.adapters.flags.file import checked
from shared.adapters.flags.port import FlagsUnavailable
from shared.adapters.flags.switching import holds_off, switched
from shared.settings import BadSetting, Settings


def main() -> int:
    """Run the command. Returns exit code 0; 1 when another record keeps the flag off; 2 after a sentence that says what
    to do."""
    parser = argparse.ArgumentParser(prog="python -m commands.switch_flag", description=__doc__)
    parser.add_argument("flag")
    parser.add_argument("to", choices=("on", "off"))
    parser.add_argument("--tenant", help="switch for this tenant alone")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environment(os.environ)
        others = switch(settings, arguments.flag, arguments.to == "on", arguments.tenant)
    except (BadSetting, FlagsUnavailable, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.flag} is {arguments.to}" + (f" for {arguments.tenant}" if arguments.tenant else ""))
    if arguments.to == "on" and others:
        print(f"but still off, because of another record: {', '.join(others)}", file=sys.stderr)
        return 1
    return 0


def switch(settings: Settings, name: str, on: bool, tenant_id: str | None = None) -> list[str]:
    """Switch a flag in the flag store of the settings. Return the places of other records that still keep it off.

    Raises `FlagsUnavailable`, `OSError`, `ValueError`.
    """
    if settings.flags == "appconfig":
        with backends.flag_store(settings) as store:
            others: list[str] = store.switch(name, on, tenant_id)
            return others
    return switch_file(backends.flags_file(settings), name, on, tenant_id)


def switch_file(path: Path, name: str, on: bool, tenant_id: str | None = None) -> list[str]:
    """Switch a flag in a file atomically: a reader sees the old flags or the new ones. See `switch`."""
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8) if path.exists() else b""
    document = switched(checked(orjson.loads(content)) if content else {}, name, on, tenant_id)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    temporary.replace(path)
    flags = document["feature_management"]["feature_flags"]
    with_id = [number for number, flag in enumerate(flags) if isinstance(flag, dict) and flag.get("id") == name]
    return [f"feature_flags[{number}]" for number in with_id[1:] if holds_off(flags[number], name, tenant_id)]


if __name__ == "__main__":
    sys.exit(main())
