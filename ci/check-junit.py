"""Reads a JUnit file with junitparser, as any consumer would, and checks that verdicts arrive as what they are.

Usage: check-junit.py FILE
"""

import sys
from collections import Counter

from junitparser import Error, Failure, JUnitXml, Skipped

# The type that the file gives each kind of result, by the element that it may stand in.
KINDS = {
    Failure: {"not met"},
    Error: {"INVALID", "partial", "not run", "counter missing", "not readable"},
    Skipped: {"unsupported", "not measured", "not run", "undecided"},
}

found = Counter()
xml = JUnitXml.fromfile(sys.argv[1])
for suite in xml:
    results = Counter()
    for case in suite:
        assert case.name and case.classname.startswith(suite.name), (case.name, case.classname)
        assert len(case.result) <= 1, case.name
        for result in case.result:
            assert result.type in KINDS[type(result)], f"{case.name}: {result.type} as {type(result).__name__}"
            assert result.message, case.name
            results[type(result)] += 1
            found[type(result), result.type] += 1
        if not case.result:
            found["passed"] += 1
    counted = (suite.tests, suite.failures, suite.errors, suite.skipped)
    assert counted == (len(list(suite)), results[Failure], results[Error], results[Skipped]), (suite.name, counted, results)

wanted = [(Failure, "not met"), (Error, "INVALID"), (Error, "partial"), (Error, "not readable"), (Skipped, "undecided"), (Skipped, "not measured")]
for kind, name in wanted:
    assert found[kind, name], f"no {name} as {kind.__name__} in the file: {found}"
print(f"{len(list(xml))} suites read:", ", ".join(f"{number} {key if isinstance(key, str) else key[1]}" for key, number in sorted(found.items(), key=str)))
