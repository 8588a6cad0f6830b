"""Judges an Autobahn report by its index.json: every case must have passed."""

import json
import pathlib
import re
import sys

GOOD = {"OK", "INFORMATIONAL"}
# Offers of a smaller window for what we send are declined, and then there is nothing to test: the only cases that may say so. A negotiation that broke
# would otherwise pass everywhere.
DECLINED = re.compile(r"13\.[3-6]\.")
# NON-STRICT is a pass of Autobahn's that we do not accept where the runner tells the difference.
CASES_MIN = {"kosoku": 301, "wstest": 216}


def is_good(name: str, behavior: str) -> bool:
    return behavior in GOOD or (behavior == "UNIMPLEMENTED" and DECLINED.match(name) is not None)


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
        if not is_good(name, case["behavior"]) or not is_good(name, case.get("behaviorClose", "OK"))
    }
    for name, case in sorted(bad.items()):
        print(f"compat: case {name}: {case['behavior']}, close {case.get('behaviorClose')}")
    short = len(cases) < CASES_MIN[runner]
    if short:
        print(f"compat: only {len(cases)} of {CASES_MIN[runner]} cases ran")
    print(f"compat: {len(cases) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad or short else 0


sys.exit(main())
