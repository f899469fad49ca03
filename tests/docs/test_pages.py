"""README and docs/: every block of commands runs, every link leads somewhere, no page is lost."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from adaption.cli.main import VERBS
from tests.docs.blocks import Block, blocks_of, environment_of, matches, pages, run_block

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMANDS = ("adaption ", "python ", "pip ", "scripts/", "../scripts/", "torchrun ", "bash ")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors_of(text: str) -> set[str]:
    """Anchors of headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ +(.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like the checkout; what commands write lands beside the links."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("models", "scripts", "protos", "docs"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def files(checkout: Path) -> Path:
    """The folder `try` that guides begin with: scripts/example_files.py makes it."""
    folder = checkout / "try"
    folder.mkdir()
    runpy.run_path(str(ROOT / "scripts/example_files.py"))["lay_out"](folder)
    return folder


def run_page(page: Path, folder: Path, home: Path, marks: tuple[str, ...]) -> int:
    """Run the blocks whose mark is among `marks` one after the other. Returns how many ran."""
    environment = environment_of(home)
    printed, count = "", 0
    for block in blocks_of(page):
        if block.mark == "prints":
            assert matches(block.text, printed), f"line {block.line}, printed:\n{printed}"
        elif block.is_run and block.mark in marks:
            printed = run_block(block, folder, environment)
            count += 1
    return count


def with_mark(*marks: str) -> list[Path]:
    return [p for p in pages() if any(b.is_run and b.mark in marks for b in blocks_of(p))]


@pytest.mark.slow
@pytest.mark.parametrize("page", with_mark("", "slow"), ids=name_of)
def test_blocks_run(page: Path, checkout: Path, files: Path, tmp_path: Path) -> None:
    folder = checkout if page.name == "README.md" else files
    assert run_page(page, folder, tmp_path, ("", "slow")) > 0


@pytest.mark.network
def test_quickstart_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """In a copy of the checkout and an environment of its own, as a new user runs it."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    environment = environment_of(tmp_path / "home")
    for name in ("VIRTUAL_ENV", "PYTHONPATH"):
        del environment[name]
    (block,) = [b for b in blocks_of(ROOT / "README.md") if b.mark == "network"]
    printed = run_block(block, tmp_path, environment)
    for line in quickstart_output().splitlines():
        assert line in printed


def quickstart_output() -> str:
    text = (ROOT / "README.md").read_text("utf-8")
    shown = re.search(r"<!-- quickstart -->\n```text\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    return shown[1]


def test_readme_shows_what_the_quickstart_prints(checkout: Path, tmp_path: Path) -> None:
    script = (ROOT / "scripts/quickstart.sh").read_text("utf-8").replace("\\\n", " ")
    (example,) = re.findall(r"^example=(\S+)$", script, re.MULTILINE)
    (call,) = re.findall(r"^exec (adaption .*)$", script, re.MULTILINE)
    block = Block(0, "sh", call.replace("$example", example), "")
    printed = run_block(block, checkout, environment_of(tmp_path))
    assert printed.startswith(quickstart_output())


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors_of(place.read_text("utf-8")), f"{name_of(page)}: {target}"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_say_that_they_are_commands(page: Path) -> None:
    for block in blocks_of(page):
        if block.language not in ("sh", "python"):
            begins = [line for line in block.text.splitlines() if line.startswith(COMMANDS)]
            assert not begins, f"{name_of(page)}:{block.line}: write ```sh, so that it is run"


def test_every_guide_has_commands_that_run() -> None:
    guides = sorted((ROOT / "docs/guides").glob("*.md"))
    assert guides
    assert {name_of(g) for g in guides} <= {name_of(p) for p in with_mark("", "slow")}


def test_every_verb_is_explained() -> None:
    text = (ROOT / "docs/reference/commands.md").read_text("utf-8")
    rows = set(re.findall(r"`([a-z_-]+)`", " ".join(re.findall(r"^\| (.+?) \|", text, re.M))))
    assert set(VERBS) - rows == set()


def test_every_page_is_in_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = set(re.findall(r"([\w/]+\.md)$", site, re.MULTILINE))
    assert {p.relative_to(ROOT / "docs").as_posix() for p in pages()[1:]} == named


def test_flags_in_commands_exist() -> None:
    """Also in blocks that are not run: a flag that was renamed is found here."""
    import argparse

    from adaption.cli.main import _parser

    (verbs,) = [a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)]
    for page in pages():
        for block in blocks_of(page):
            if block.language != "sh":
                continue
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] != ["adaption"] or len(words) < 2 or words[1].startswith("-"):
                    continue
                known = verbs.choices[words[1]]._option_string_actions
                flags = [w.partition("=")[0] for w in words[2:] if re.match(r"--?[a-z]", w)]
                unknown = [f for f in flags if f not in known]
                assert not unknown, f"{name_of(page)}:{block.line}: {words[1]} has no {unknown}"


def test_each_term_stands_once() -> None:
    text = (ROOT / "docs/reference/terms.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", text, re.M)
    terms = [term.lower() for term, _ in rows if term not in ("word", "---")]
    assert len(terms) == len(set(terms)) > 30
    assert {"plan", "proposal", "sidecar", "code"} <= set(terms)
    assert not [term for term in terms if "," in term]  # one word a row
