"""Plain American English in docs, docstrings, comments, and messages.

Only prose is checked: fenced blocks, inline code, identifiers, flags, and strings of one word are skipped.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Top-level folders and files whose language is clean. Add yours once its tests pass.
CLEAN = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks",
    "configs",
    "d2lite",
    "demo",
    "docs",
    "examples",
    "setup.py",
    "solo_d2",
    "tests",
    "tools",
    "train_net.py",
)
# Files that quote retired phrases on purpose.
EXCEPTIONS = ("tests/test_language.py",)
MAX_SENTENCES = 3

# Retired phrase, as a regular expression -> what to write instead.
RETIRED = {
    r"mend(s|ed|ing)?": "fix, repair",
    r"beside": "next to, with",
    r"(has|have|had|having) (not )?to": "must, need",
    r"(lie|lies|lay|lying) (in|within|inside|at|on|under|outside)": "is in",
    r"(is|are|was|were) there": "exists",
    r"anew|afresh": "re-initialize, rebuild, rerun",
    r"(go|goes|went|going) on (where|at|from|with|after)": "resume, continue",
    r"(has|have|had) not(?=[.,;:)\"']|$)": "does not have",
    r"without a word": "silently; without synchronizing",
    r"whole or absent": "atomic",
    r"(is|are|be) believed|believes?": "is used",
    r"\w*colour\w*": "color",
    r"centre\w*|centring": "center",
    r"neighbour\w*": "neighbor",
    r"behaviour\w*": "behavior",
    r"(favour|honour|flavour|labour)\w*": "favor, honor, flavor, labor",
    r"gr(ey|eys|eyscale)": "gray",
    r"(un)?labelled|labelling": "labeled, without labels",
    r"(cancell|travell|modell|signall)(ed|ing)": "canceled, traveled, modeled, signaled",
    r"licences?": "license",
    r"learnt|spelt|burnt": "learned, spelled, burned",
    r"artefacts?": "artifact",
    r"analys(e|ed|ing)": "analyze",
    r"(un|re|un-|re-)?(normal|initial|synchron|binar|optim|recogn|vector|visual|serial|minim|maxim|general|quant"
    r"|organ|summar|parallel|discret|custom|memor|linear|random|raster|stabil|special|util|regular|real)"
    r"is(e|es|ed|er|ers|ing|ation|ations)": "-ize, -ization",
}
# A phrase may continue on the next line.
PHRASES = "|".join(f"(?:{phrase})" for phrase in RETIRED).replace(" ", r"\s+")
PATTERN = re.compile(rf"(?<![\w-])(?:{PHRASES})(?![\w-])", re.IGNORECASE)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
QUESTION = re.compile(r"(What|Whether|Which|How)\b")

FENCE = re.compile(r"^ *```.*?^ *```$|<!--.*?-->", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"``.+?``|`[^`]+`|\]\([^)\s]+\)", re.DOTALL)
COMMENTS = {
    **dict.fromkeys((".cpp", ".h", ".cu", ".cuh"), re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)),
    **dict.fromkeys((".yaml", ".sh"), re.compile(r"(?:^|(?<=\s))#[^\n]*", re.MULTILINE)),
}
LIST_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) +", re.MULTILINE)
SENTENCE_END = re.compile(r"[.!?][)*_\"]*(?=\s+[*_(\"\[]*[A-Z0-9]|\s*$)")


def files_of(place: str) -> list[Path]:
    """Returns the checked files of a top-level folder, or the file itself."""
    top = ROOT / place
    files = [top] if top.is_file() else sorted(top.rglob("*"))
    exceptions = {ROOT / name for name in EXCEPTIONS}
    return [p for p in files if p.suffix in {".md", ".py", *COMMENTS} and p not in exceptions]


def blank(match: re.Match) -> str:
    """Returns a word in place of code, on as many lines."""
    return "X" + "\n" * match[0].count("\n")


def python_prose(text: str) -> Iterator[tuple[int, str]]:
    """Yields (line, text) of comments and of strings that are more than one word."""
    comment: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comment.append(token.string.lstrip("# "))
        elif token.type != tokenize.NL:
            if comment:
                yield token.start[0] - len(comment), "\n".join(comment)
                comment = []
            # f-strings are tokens of their own from Python 3.12 on.
            if tokenize.tok_name[token.type] in ("STRING", "FSTRING_MIDDLE") and " " in token.string:
                yield token.start[0], re.sub(r"\{[^{}]*\}", blank, token.string)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line, text) of the prose in a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        parts = python_prose(text)
    elif path.suffix == ".md":
        parts = iter([(1, FENCE.sub(blank, text))])
    else:
        found = COMMENTS[path.suffix].finditer(text)
        parts = ((text.count("\n", 0, match.start()) + 1, match[0]) for match in found)
    for line, part in parts:
        yield line, INLINE_CODE.sub(blank, part)


def retired_phrases(path: Path) -> list[str]:
    """Returns "line: phrase" for every retired phrase in a file."""
    return [
        f"{line + text.count(chr(10), 0, match.start())}: {' '.join(match[0].split())}"
        for line, text in prose(path)
        for match in PATTERN.finditer(text)
    ]


def paragraphs(text: str) -> list[str]:
    """Returns the paragraphs and list items of a Markdown page, without code, tables, and headings."""
    text = INLINE_CODE.sub(blank, FENCE.sub("", text))
    blocks = [part for block in re.split(r"\n\s*\n", text) for part in LIST_ITEM.split(block)]
    return [block.strip() for block in blocks if block.strip() and not re.match(r"\s*[|#]", block)]


def num_sentences(paragraph: str) -> int:
    """Counts sentences; a bold heading at the start of a paragraph is none."""
    return len(SENTENCE_END.findall(re.sub(r"^\*\*[^*]+\.\*\*", "", paragraph)))


def questions(path: Path) -> list[str]:
    """Returns "line: opening" of the docstrings that open like a question."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, DOCUMENTED)]
    found = [(getattr(node, "lineno", 1), ast.get_docstring(node) or "") for node in nodes]
    return [f"{line}: {text.splitlines()[0]}" for line, text in found if QUESTION.match(text)]


def report(place: str, suffixes: set[str], problems_of) -> list[str]:
    """Returns the problems of all files of a place, as "file:problem"."""
    files = files_of(place)
    assert files, f"CLEAN names {place}, which has no text"
    return [
        f"{path.relative_to(ROOT)}:{problem}"
        for path in files
        if path.suffix in suffixes
        for problem in problems_of(path)
    ]


@pytest.mark.parametrize("place", CLEAN)
def test_no_retired_phrases(place: str):
    problems = report(place, {".md", ".py", *COMMENTS}, retired_phrases)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("place", CLEAN)
def test_docstrings_do_not_open_like_questions(place: str):
    problems = report(place, {".py"}, questions)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("place", CLEAN)
def test_paragraphs_are_short(place: str):
    def long_paragraphs(path: Path) -> list[str]:
        return [p for p in paragraphs(path.read_text(encoding="utf-8")) if num_sentences(p) > MAX_SENTENCES]

    problems = report(place, {".md"}, long_paragraphs)
    assert not problems, "\n\n".join(problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# It goes on\n# where it was.\nx = 1\n", ["1: goes on where"]),
        ('def f(colour):\n    """Returns a\n    colour."""\n', ["3: colour"]),
        ('x = "centre"\nraise ValueError(f"no {x.colour} here, which the file has not")\n', ["2: has not"]),
        ('"""Reads ``--train-unlabelled``; --train-unlabelled has not been given."""\n', []),
        ("x = 1  # greyish, besides, remedies, precise\n", []),
    ],
)
def test_phrases_are_found_in_python(tmp_path: Path, text: str, expected: list[str]):
    (tmp_path / "a.py").write_text(text)
    assert retired_phrases(tmp_path / "a.py") == expected


def test_phrases_are_found_in_other_files(tmp_path: Path):
    (tmp_path / "a.md").write_text("A\n```\ncolour\n```\n`grey` [x](colour.md)\nunnormalised\n")
    assert retired_phrases(tmp_path / "a.md") == ["6: unnormalised"]
    (tmp_path / "a.yaml").write_text("# Of the centre.\nCOLOUR: colour  # A grey one.\n")
    assert retired_phrases(tmp_path / "a.yaml") == ["1: centre", "2: grey"]
    (tmp_path / "a.cu").write_text("int colour; // Anew.\n/* It\n * mends. */\n")
    assert retired_phrases(tmp_path / "a.cu") == ["1: Anew", "3: mends"]


def test_sentences_are_counted():
    page = (
        "# A. B.\n\n| A. B. |\n| - |\n\n**Lead.** One `a. B` (3.5). Two e.g. this, et al., that. 3 is it.\n"
    )
    assert [num_sentences(p) for p in paragraphs(page)] == [3]
    assert [num_sentences(p) for p in paragraphs("- A. B.\n- C.\n  1. D.\n\nE. *F.* (G.) H.")] == [2, 1, 1, 4]


def test_questions_are_found(tmp_path: Path):
    (tmp_path / "a.py").write_text(
        '"""How."""\ndef f():\n    """Whether x."""\ndef g():\n    """Whatever."""\n'
    )
    assert questions(tmp_path / "a.py") == ["1: How.", "2: Whether x."]
