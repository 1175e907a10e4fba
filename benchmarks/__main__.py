"""`python -m benchmarks [name …]`: runs all or the named benchmarks, one after another.

With `--record`, benchmarks whose figures the bill uses store them in `infra/measured.json`.
"""

from __future__ import annotations

import importlib
import sys

from benchmarks.measured import RECORD

BENCHMARKS = (
    "table",
    "ranking",
    "feed_handler",
    "feeds",
    "similar",
    "stories",
    "learned_feed",
    "fold",
    "messages",
    "request_units",
    "event_path",
    "write_path",
    "rollup",
    "memory",
    "telemetry",
    "azure_adapters",
    "startup",
    "cms_import",
    "video_search",
    "compression",
    "learning",
)

if __name__ == "__main__":
    for name in [each for each in sys.argv[1:] if each != RECORD] or BENCHMARKS:
        if name not in BENCHMARKS:
            sys.exit(f"There is no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}.")
        importlib.import_module(f"benchmarks.{name}").main()
