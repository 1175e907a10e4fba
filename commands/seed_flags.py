"""`python -m commands.seed_flags [--on]`: adds missing flags of the code to App Configuration.

For the deployment pipeline. An existing flag is never changed, so a deployment does not undo an operator's switch. New
flags have their default; with `--on`, personalization is on.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from shared.adapters import backends
from shared.adapters.flags.evaluation import FLAGS, PERSONALIZED_FEED
from shared.adapters.flags.port import FlagsUnavailable
from shared.settings import BadSetting, Settings


def main() -> int:
    """Run the command. Returns exit code 0 when every flag exists, or 2 after a sentence that says what to do."""
    parser = argparse.ArgumentParser(prog="python -m commands.seed_flags", description=__doc__)
    parser.add_argument("--on", action="store_true", help="begin with personalization switched on")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environment(os.environ)
        if settings.flags != "appconfig":
            raise BadSetting("FLAGS must be appconfig: a flags file needs no seeding.")
        with backends.flag_store(settings) as store:
            added = store.seed(first_flags(personalized=arguments.on))
    except (BadSetting, FlagsUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"added {', '.join(added)}" if added else "every flag exists already")
    return 0


def first_flags(*, personalized: bool) -> list[dict[str, Any]]:
    """Return every flag with its initial value."""
    return [
        {
            "id": name,
            "enabled": flag.default or (personalized and name == PERSONALIZED_FEED),
            "description": flag.help,
        }
        for name, flag in FLAGS.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
