#!/usr/bin/env python
"""Measures how much of each package of solo_d2 is run by the package's own tests.

    python tests/measure_coverage.py                 # every package
    python tests/measure_coverage.py ops methods/solo

``solo_d2/ops`` is measured with ``tests/ops`` alone, the modules outside packages with ``tests/test_*.py``.
Fails where a test fails or less than 90% of the lines are run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES, TESTS = ROOT / "solo_d2", ROOT / "tests"
ROOMS = "methods"  # each of its folders counts by itself
TOP = "."
LEAST = 90.0


def packages() -> list[str]:
    """Returns the names of all packages below ``solo_d2``; modules outside packages are "."."""
    found = [path.parent.relative_to(SOURCES).as_posix() for path in SOURCES.glob("*/__init__.py")]
    found += [path.parent.relative_to(SOURCES).as_posix() for path in SOURCES.glob(f"{ROOMS}/*/__init__.py")]
    return [TOP, *sorted(set(found) - {ROOMS})]


def own_tests(package: str) -> list[str]:
    """Returns the test files or folders of a package."""
    if package == TOP:
        return [str(path) for path in sorted(TESTS.glob("test_*.py"))]
    return [str(TESTS / package)] if (TESTS / package).is_dir() else []


def lines_of(report: dict, package: str) -> tuple[int, int]:
    """Returns how many lines of a package were run, and how many it has, from coverage's JSON report."""
    run = total = 0
    for name, file in report["files"].items():
        path = ROOT / name
        if (path.parent == SOURCES) if package == TOP else path.is_relative_to(SOURCES / package):
            run += file["summary"]["covered_lines"]
            total += file["summary"]["num_statements"]
    return run, total


def measure(package: str, processes: str) -> tuple[float, bool]:
    """Runs a package's own tests.

    Args:
        package: Name below ``solo_d2``, or ".".
        processes: As for pytest's ``--numprocesses``.

    Returns:
        The percentage of its lines that ran, and whether the tests passed.
    """
    tests = own_tests(package)
    if not tests:
        return 0.0, False
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        options = [f"--cov={SOURCES / package}", f"--cov-report=json:{report}", "--numprocesses", processes]
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *options, *tests]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout[-4000:] + done.stderr[-2000:], file=sys.stderr)
        if not report.is_file():
            return 0.0, False
        run, total = lines_of(json.loads(report.read_text()), package)
    return (100.0 * run / total if total else 100.0), done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="*", help="names below solo_d2 (default: all)")
    parser.add_argument("--numprocesses", default="auto", help="of pytest (%(default)s)")
    options = parser.parse_args()
    unknown = sorted(set(options.packages) - set(packages()))
    if unknown:
        parser.error(f"there is no package {unknown[0]}; there are {', '.join(packages())}")
    low = []
    print(f"{'package':<22}  own coverage", flush=True)
    for package in options.packages or packages():
        percent, passed = measure(package, options.numprocesses)
        notes = [] if passed else ["tests failed"]
        if percent < LEAST:
            notes.append(f"below {LEAST:.0f}%")
        low += [package] if notes else []
        print(f"{package:<22}  {percent:6.1f}%  {', '.join(notes)}".rstrip(), flush=True)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
