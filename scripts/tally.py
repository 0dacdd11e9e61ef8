"""Counts tests for scripts/test.

tally.py log FILE EXIT_CODE        the cases that a suite's output closes on (pytest, unittest, vitest, node, a plain line)
tally.py ctest JUNIT GTEST_FOLDER  the cases of a CTest run: each gtest program's own, one for every other test
Prints "PASSED FAILED SKIPPED". Exit code 77 without a count is one skipped test. A suite that failed counts at least one failure, whatever its output says; one that ran
no test counts as failed.
"""

import pathlib
import re
import sys
import tempfile
import xml.etree.ElementTree

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WORDS = {"passed": 0, "failed": 1, "error": 1, "errors": 1, "failures": 1, "skipped": 2, "todo": 2, "xfailed": 2, "pass": 0,
         "fail": 1}
PLAIN = re.compile(r"(\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")


def add(counts: list[int], pairs) -> None:
    for count, word in pairs:
        if word in WORDS:
            counts[WORDS[word]] += int(count)


def closing_counts(text: str) -> list[int]:
    """The sum of all closing lines; where the last line is a plain one, that is the sum."""
    lines = [line.strip() for line in COLOUR.sub("", text).splitlines() if line.strip()]
    if lines and (match := PLAIN.fullmatch(lines[-1])):
        return [int(count or 0) for count in match.groups()[1:]]
    counts = [0, 0, 0]
    unittest_ran = None
    for line in lines:
        # pytest: "== 12 passed, 1 skipped in 3.1s =="; vitest: "Tests  3 failed | 40 passed (43)"; ours: "3 passed, 0 failed";
        # node: one word a line, "# pass 10" or "i pass 10"
        if re.fullmatch(r"=*\s*(\d+ \w+,? ?)+in [\d.]+s.*", line) or re.match(r"Tests\s+\d+ ", line) or PLAIN.fullmatch(line):
            add(counts, re.findall(r"(\d+) ([a-z]+)", line))
        elif match := re.fullmatch(r"(?:#|\u2139) (pass|fail|skipped|todo) (\d+)", line):
            add(counts, [(match.group(2), match.group(1))])
        # Python's unittest: "Ran 7 tests in 1.0s", then "OK (skipped=1)" or "FAILED (failures=1, errors=1)"
        elif match := re.match(r"Ran (\d+) tests? in ", line):
            unittest_ran = int(match.group(1))
        elif unittest_ran is not None and re.match(r"(OK|FAILED)\b", line):
            own = [0, 0, 0]
            add(own, [(count, word) for word, count in re.findall(r"(failures|errors|skipped)=(\d+)", line)])
            own[0] = max(0, unittest_ran - own[1] - own[2])
            counts = [a + b for a, b in zip(counts, own)]
            unittest_ran = None
    return counts


def of_log(text: str, exit_code: int) -> list[int]:
    counts = closing_counts(text)
    if exit_code == 77 and sum(counts) == 0:
        return [0, 0, 1]
    if exit_code != 0 and counts[1] == 0 or sum(counts) == 0:
        counts[1] += 1
    return counts


def of_gtest(path: pathlib.Path) -> list[int] | None:
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return None
    counts = [0, 0, 0]
    for case in root.iter("testcase"):
        if case.get("status") == "notrun":
            continue
        if case.find("failure") is not None:
            counts[1] += 1
        elif case.get("result") == "skipped" or case.find("skipped") is not None:
            counts[2] += 1
        else:
            counts[0] += 1
    return counts


def of_ctest(junit: pathlib.Path, gtest_folder: pathlib.Path) -> list[int]:
    counts = [0, 0, 0]
    for case in xml.etree.ElementTree.parse(junit).getroot().iter("testcase"):
        failed = case.get("status") == "fail" or case.find("failure") is not None
        own = of_gtest(gtest_folder / f"{case.get('name')}.xml")
        if own is None:
            own = [0, 0, 0]
            skipped = case.get("status") in ("notrun", "disabled") or case.find("skipped") is not None
            own[1 if failed else 2 if skipped else 0] = 1
        elif failed and own[1] == 0:
            # It crashed or ran out of time after writing its file, or its file is an older one.
            own[1] = 1
        counts = [a + b for a, b in zip(counts, own)]
    if sum(counts) == 0:
        counts[1] = 1
    return counts


def self_test() -> None:
    assert of_log("x\n===== 12 passed, 2 skipped in 3.10s =====\n", 0) == [12, 0, 2]
    assert of_log("1 failed, 2 passed, 1 error in 0.10s\n", 1) == [2, 2, 0]
    assert of_log("\x1b[1m Test Files  2 passed (2)\n      Tests  3 failed | 40 passed | 1 skipped (44)\n", 1) == [40, 3, 1]
    assert of_log("# tests 4\n# pass 3\n# fail 1\n# skipped 0\n", 1) == [3, 1, 0]
    assert of_log("e2e: 7 passed, 0 failed\n", 0) == [7, 0, 0]
    assert of_log("7 passed, 0 failed\n", 1) == [7, 1, 0]
    assert of_log("all good\n", 0) == [0, 1, 0]
    assert of_log("no model\n", 77) == [0, 0, 1]
    assert of_log("Ran 9 tests in 1.2s\n\nOK (skipped=2)\n\u2139 pass 3\n\u2139 fail 0\ncurl: 5 passed, 0 failed\nall done\n", 0) == [15, 0, 2]
    assert of_log("Ran 9 tests in 1.2s\n\nFAILED (failures=1, errors=1)\n", 1) == [7, 2, 0]
    assert of_log("a: 4 passed, 0 failed\nb: 5 passed, 1 failed\n9 passed, 1 failed, 0 skipped\n", 1) == [9, 1, 0]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "junit.xml").write_text(
            '<testsuite><testcase name="a_test" status="run"/><testcase name="b_test" status="fail"><failure/></testcase>'
            '<testcase name="check" status="run"/><testcase name="crashed" status="fail"/></testsuite>')
        (folder / "a_test.xml").write_text(
            '<testsuites><testsuite><testcase name="1" status="run" result="completed"/>'
            '<testcase name="2" status="run" result="skipped"><skipped/></testcase></testsuite></testsuites>')
        (folder / "b_test.xml").write_text(
            '<testsuites><testsuite><testcase name="1" status="run"><failure/></testcase>'
            '<testcase name="2" status="run"/></testsuite></testsuites>')
        (folder / "crashed.xml").write_text("<testsuites><testsuite><testcase name='1' status='run'/></testsuite></testsuites>")
        assert of_ctest(folder / "junit.xml", folder) == [4, 2, 1], of_ctest(folder / "junit.xml", folder)
    print("tally: self-test passed")


def main(argv: list[str]) -> int:
    if argv == ["--self-test"]:
        self_test()
    elif argv[:1] == ["log"] and len(argv) == 3:
        print(*of_log(pathlib.Path(argv[1]).read_text(errors="replace"), int(argv[2])))
    elif argv[:1] == ["ctest"] and len(argv) == 3:
        print(*of_ctest(pathlib.Path(argv[1]), pathlib.Path(argv[2])))
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
