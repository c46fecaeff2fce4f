# SPDX-License-Identifier: MIT
"""Prints the names of the tests whose programs lie under tests/unit of a build folder."""

import json
import os
import subprocess
import sys

build = os.path.abspath(sys.argv[1])
out = subprocess.run(["meson", "introspect", "--tests", build], stdout=subprocess.PIPE, check=True)
unit = os.path.join(build, "tests", "unit") + os.sep
names = [t["name"] for t in json.loads(out.stdout)
         if any(part.startswith(unit) for part in t["cmd"])]
if not names:
    sys.exit("no unit tests found")
print("\n".join(names))
