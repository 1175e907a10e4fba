"""`python -m commands.seed_flags [--on]`: adds the flags the code knows to App Configuration, where they are missing.

For the deployment pipeline. A flag that is there is never touched, so that deploying again does not undo what an
operator has switched. New flags begin with their default; `--on` begins with personalization switched on.
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
    """Exit code 0 when every flag is there, 2 with one sentence on what to do."""
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
    print(f"added {', '.join(added)}" if added else "every flag is there already")
    return 0


def first_flags(*, personalized: bool) -> list[dict[str, Any]]:
    """Every flag as it begins."""
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
