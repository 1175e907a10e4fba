"""Runs axe-core on a page, in light and in dark."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page

from tests.skip_reasons import leave_out

AXE = Path(__file__).resolve().parents[2] / "sdk" / "typescript" / "node_modules" / "axe-core" / "axe.min.js"


async def serious_faults(page: Page) -> list[str]:
    """Return serious and critical findings: the color scheme, the rule, and the first place."""
    if not AXE.exists():
        leave_out("the accessibility of pages: `npm --prefix sdk/typescript ci` gets axe-core")
    found = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await page.evaluate(AXE.read_text(encoding="utf-8"))
        result = await page.evaluate("axe.run()")
        found += [
            f"{scheme}: {each['id']}: {each['nodes'][0]['target']}: {each['nodes'][0].get('failureSummary', '')}"
            for each in result["violations"]
            if each["impact"] in ("serious", "critical")
        ]
    return found
