"""docs/supported.md is made of the profiles: it says what they say, no more and no less."""

from __future__ import annotations

from gateway import registry
from gateway.supported import supported
from tests.conftest import ROOT


def test_the_page_is_current() -> None:
    """If not: mdi profile supported > docs/supported.md"""
    page = (ROOT / "docs" / "supported.md").read_text(encoding="utf-8")
    made = supported(registry.Profiles(), registry.unseen_flips)
    stale = [line for line in made.splitlines() if line not in set(page.splitlines())]
    assert not stale[:5]
    assert page == made


def test_every_profile_has_a_row_and_a_section() -> None:
    page = (ROOT / "docs" / "supported.md").read_text(encoding="utf-8")
    for profile in registry.Profiles():
        assert f"](#{profile.id.replace('/', '')}) | {profile.driver} |" in page
        assert f"\n## {profile.id}\n" in page
        assert not profile.experimental or "**Experimental**" in page.split(f"\n## {profile.id}\n")[1].split("\n## ")[0]
