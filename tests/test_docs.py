"""Names in README.md and docs/*.md exist: links, files, and the flags of every command shown."""

import ast
import functools
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("d2lite/*.md"), *ROOT.glob("tools/*.md")]
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FENCE = re.compile(r"^```[ \t]*(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Files of the repository by their first folder; what commands write (output/, datasets/) is not checked.
NAMED_FILE = re.compile(
    r"(?<![\w./-])((?:configs|tools|demo|docs|benchmarks|solo_d2|tests|d2lite)/[\w./-]*\w\.\w+|train_net\.py)\b"
)
SCRIPT = re.compile(r"(?:train_net|(?:tools|demo|benchmarks)/\w+)\.py$")
PROGRAM = "solo-d2"
SHELL_LANGUAGES = ("", "bash", "sh", "shell", "console", "text")


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_fences(text: str) -> str:
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """GitHub's anchors of a page's headings."""
    plain = [re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(without_fences(text))]
    return {title.strip().replace(" ", "-") for title in plain}


def broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for target in LINK.findall(without_fences(text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        if not path.exists():
            broken.append(target)
        elif anchor and path.suffix == ".md":
            linked = text if path == page else path.read_text()
            if anchor not in anchors(linked):
                broken.append(target)
    return broken


def commands(text: str) -> list[list[str]]:
    """Shell words of each command in the fenced blocks; continued lines are joined."""
    found = []
    for language, block in FENCE.findall(text):
        if language in SHELL_LANGUAGES:
            for line in block.replace("\\\n", " ").splitlines():
                try:
                    found.append(shlex.split(line.strip().removeprefix("$ "), comments=True))
                except ValueError:
                    continue
    return found


def own_command(words: list[str], index: int) -> str | None:
    """Returns the script, module, or ``solo-d2`` command that a word starts; None for other words."""
    word = words[index].removeprefix("./")
    is_module = words[index - 1] == "-m"
    if word == PROGRAM or (is_module and word == "solo_d2"):
        return " ".join([PROGRAM, *itertools.takewhile(re.compile(r"[a-z]").match, words[index + 1 :])])
    return word if SCRIPT.match(word) or (is_module and word.startswith("solo_d2.")) else None


def script_calls(text: str) -> list[tuple[str, list[str]]]:
    """Returns (own command, flags) of every command line that has one."""
    calls = []
    for words in commands(text):
        for index in range(len(words)):
            if name := own_command(words, index):
                flags = [w.partition("=")[0] for w in words[index + 1 :] if re.match(r"--?[a-z]", w)]
                calls.append((name, flags))
                break
    return calls


@functools.cache
def help_text(name: str) -> str:
    if name.startswith(PROGRAM):
        target = ["-m", "solo_d2", *name.split()[1:]]
    else:
        target = ["-m", name] if name.startswith("solo_d2.") else [str(ROOT / name)]
    command = [sys.executable, "-W", "ignore", *target, "-h"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{name} -h: {done.stderr}"
    return done.stdout


def test_rules_see_what_is_wrong(tmp_path):
    text = "# One two\n[a](gone.md) [b](#one-two) [c](#three) [d](https://x.org/y)\n```\n[e](f.md)\n```\n"
    (tmp_path / "page.md").write_text(text)
    assert broken_links(tmp_path / "page.md", text) == ["gone.md", "#three"]
    shown = "```bash\nA=1 python tools/x.py --a 1 \\\n  --b=2 # --c\n$ ls --all\npython -m solo_d2.y -h\n"
    shown += "python -m solo_d2 env\nsolo-d2 data split --json a.json\n```"
    calls = [("tools/x.py", ["--a", "--b"]), ("solo_d2.y", ["-h"])]
    assert script_calls(shown) == [*calls, ("solo-d2 env", []), ("solo-d2 data split", ["--json"])]
    text = "see configs/a/b.yaml, output/demo/x.json or x/tools/y.py"
    assert NAMED_FILE.findall(text) == ["configs/a/b.yaml"]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page):
    assert broken_links(page, page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_named_files_exist(page):
    names = set(NAMED_FILE.findall(page.read_text()))
    missing = sorted(n for n in names if not (ROOT / n).exists() and not (page.parent / n).exists())
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_use_flags_that_exist(page):
    for script, flags in script_calls(page.read_text()):
        shown = help_text(script) if flags or script.startswith(PROGRAM) else ""
        known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", shown))
        unknown = [flag for flag in flags if flag not in known]
        assert not unknown, f"{script} has no {unknown}"


def architecture_tables() -> tuple[list[list[str]], list[list[str]]]:
    """The rows of docs/architecture.md: (floor, packages, ...), and (what, places)."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    floors = [row for row in rows if row[0].isdigit()]
    return floors, [row for row in rows if len(row) == 2 and "`" in row[1]]


def test_the_floors_shown_are_the_floors_checked():
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text())
    [checked] = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "LAYERS"]
    shown = {
        name if name == "solo_d2" else f"solo_d2.{name}": int(row[0])
        for row in architecture_tables()[0]
        for name in re.findall(r"`([\w.]+)`", row[1])
    }
    assert shown == ast.literal_eval(checked)


def test_the_places_shown_exist():
    places = [place for row in architecture_tables()[1] for place in re.findall(r"`([^`]+)`", row[1])]
    assert len(places) > 20
    assert [place for place in places if not (ROOT / "solo_d2" / place).exists()] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/contribute/*.md")), ids=page_name)
def test_examples_run(page, tmp_path):
    examples = [block for language, block in FENCE.findall(page.read_text()) if language == "python"]
    assert examples
    for example in examples:
        command = [sys.executable, "-W", "ignore", "-c", example]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_free_mask_and_the_segmenter_are_shown_with_one_backbone():
    """The driver gives both the same weights; its default segmenter is a small one for a CPU."""
    shown = [
        words for page in PAGES for words in commands(page.read_text()) if "tools/run_freesolo.py" in words
    ]
    assert any("--free-mask-config" in words for words in shown)
    for words in shown:
        depths = {
            re.search(r"R\d+", words[words.index(flag) + 1])[0] if flag in words else "default"
            for flag in ("--free-mask-config", "--config-file")
        }
        assert len(depths) == 1, " ".join(words)
