"""Serves the API reference at `/docs`: Swagger UI, as static files from its package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from shared.web.static_files import StaticFiles

SWAGGER_UI = "swagger_ui/static"
"""Folder in site-packages. Its Python code is never imported."""
SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
"""Files that the page loads. The package has 24 MB more, which the deployment leaves out."""
PAGE = "index.html"
_OWN = Path(__file__).parent / "reference"


def reference_files() -> StaticFiles:
    """Return the page, its script and Swagger UI's files."""
    return StaticFiles(_paths)


def _paths() -> list[Path]:
    package = find_spec("swagger_ui")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("swagger-ui-py is not installed: pip install -r requirements.txt")
    folder = Path(package.submodule_search_locations[0]) / "static"
    return [_OWN / PAGE, _OWN / "reference.js", *(folder / name for name in SWAGGER_FILES)]
