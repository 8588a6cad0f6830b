"""Judges an Autobahn report by its index.json: every case must have passed."""

import json
import pathlib
import sys

GOOD = {"OK", "INFORMATIONAL"}
# NON-STRICT is a pass of Autobahn's that we do not accept where the runner tells the difference.
CASES_MIN = {"kosoku": 301, "wstest": 216}


def main() -> int:
    report, runner = pathlib.Path(sys.argv[1]), sys.argv[2]
    indexes = list(report.rglob("index.json"))
    if len(indexes) != 1:
        print(f"compat: expected one index.json under {report}, found {len(indexes)}")
        return 1
    agents = json.loads(indexes[0].read_text())
    cases = next(iter(agents.values()))
    bad = {
        name: case
        for name, case in cases.items()
        if case["behavior"] not in GOOD or case.get("behaviorClose", "OK") not in GOOD
    }
    for name, case in sorted(bad.items()):
        print(f"compat: case {name}: {case['behavior']}, close {case.get('behaviorClose')}")
    short = len(cases) < CASES_MIN[runner]
    if short:
        print(f"compat: only {len(cases)} of {CASES_MIN[runner]} cases ran")
    print(f"compat: {len(cases) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad or short else 0


sys.exit(main())
