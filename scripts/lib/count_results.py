# SPDX-License-Identifier: MIT
"""
Adds up what scripts/test ran: every *.json is meson's log of one run of tests,
every *.status the exit status of one check.

A test program that names its cases (TAP, bats, cmocka) counts by case; any
other counts as one.  A program that failed counts at least one failure, whatever
its cases say; one that skipped as a whole counts one skip.
"""

import glob
import json
import os
import re
import sys

TAP = re.compile(r"^(not )?ok\b(.*)$", re.M)
TAP_SKIP = re.compile(r"#\s*skip\S*\s*(.*)", re.I)
CMOCKA = re.compile(r"^\[\s*(OK|FAILED|SKIPPED)\s*\] ([^\s:]+)$", re.M)
NOT_OK = re.compile(r"^(not ok\b|\[\s*FAILED\s*\])")
REASON = re.compile(r"^SKIP: (.*)$", re.M)
SHOWN = 60  # lines of a failed test's output


class Totals:
    def __init__(self):
        self.passed, self.failed, self.skips = 0, 0, []

    def skip(self, name, reason):
        self.skips.append((name, reason or "no reason given"))


def count_tap(name, text, totals):
    failed = 0
    for bad, rest in TAP.findall(text):
        skip = TAP_SKIP.search(rest)
        if skip and not bad:
            title = re.sub(r"^\s*\d*\s*-?\s*", "", rest[:skip.start()]).strip()
            totals.skip(f"{name}: {title}", skip.group(1))
        elif bad:
            failed += 1
        else:
            totals.passed += 1
    return failed


def count_cmocka(name, text, totals):
    seen = {}
    for result, case in CMOCKA.findall(text):
        seen[case] = result
    for case, result in seen.items():
        if result == "SKIPPED":
            totals.skip(f"{name}: {case}", "skipped by the test")
        elif result == "OK":
            totals.passed += 1
    return sum(result == "FAILED" for result in seen.values())


def count_test(log, totals):
    """Returns the text to show when the test failed, else None."""
    name, result = log["name"], log["result"]
    text = (log.get("stdout") or "") + "\n" + (log.get("stderr") or "")
    if result == "SKIP":
        reasons = REASON.findall(text) or [m for m in TAP_SKIP.findall(text) if m]
        totals.skip(name, reasons[-1] if reasons else "")
        return None
    good = result in ("OK", "EXPECTEDFAIL")
    before = totals.passed, len(totals.skips)
    if re.search(r"^1\.\.\d+", text, re.M):
        failed = count_tap(name, text, totals)
    else:
        failed = count_cmocka(name, text, totals)
    if not good:
        failed = max(failed, 1)
    elif failed:
        text += f"\n{name}: ended well and yet reports {failed} failed cases\n"
    if not failed and (totals.passed, len(totals.skips)) == before:
        totals.passed += 1
    totals.failed += failed
    return f"{name}: {result}\n{text}" if failed else None


def tail(text):
    lines = text.strip().splitlines()
    hidden = lines[:-SHOWN]
    # What failed is named, however much was printed after it.
    cut = [line for line in hidden if NOT_OK.match(line)]
    if hidden:
        cut.append(f"... {len(hidden)} lines before")
    return "\n".join("    " + line for line in cut + lines[-SHOWN:])


def count_check(path, totals):
    name = os.path.basename(path)[:-len(".status")]
    out = path[:-len(".status")] + ".out"
    text = ""
    if os.path.exists(out):
        with open(out, encoding="utf-8", errors="replace") as f:
            text = f.read()
    with open(path, encoding="ascii") as f:
        status = int(f.read())
    if status == 77:
        totals.skip(name, (REASON.findall(text) or [""])[-1])
    elif status:
        totals.failed += 1
        return f"{name}: status {status}\n{text}"
    else:
        totals.passed += 1
    return None


def main(folder):
    totals, failures = Totals(), []
    for path in sorted(glob.glob(os.path.join(folder, "*.status"))):
        failures.append(count_check(path, totals))
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as f:
            for line in f:
                failures.append(count_test(json.loads(line), totals))
    for text in filter(None, failures):
        print(f"\nfailed: {tail(text).lstrip()}")
    if totals.skips:
        width = max(len(name) for name, _ in totals.skips)
        print("\nskipped:")
        for name, reason in totals.skips:
            print(f"  {name:<{width}}  {reason}")
        print()
    print(f"{totals.passed} passed, {totals.failed} failed, {len(totals.skips)} skipped")
    return 1 if totals.failed or not totals.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
