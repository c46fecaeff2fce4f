# SPDX-License-Identifier: MIT
"""
JSON against its schema (docs/*.schema.json): every report that a test makes.  As a
command it is stricter than a reader has to be, for those who add keys: no key that the
schema does not name, in any object that it describes.

usage: schema.py report|doctor [FILE...]     standard input without a file
"""

import copy
import json
import os
import sys

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")
_validators = {}


def _strict(node):
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _strict(value)
    elif isinstance(node, list):
        for value in node:
            _strict(value)
    return node


def validator(name, strict):
    if (name, strict) not in _validators:
        import jsonschema  # scripts/packages
        with open(os.path.join(FOLDER, f"{name}.schema.json"), encoding="utf-8") as f:
            schema = json.load(f)
        jsonschema.Draft202012Validator.check_schema(schema)
        _validators[name, strict] = jsonschema.Draft202012Validator(
            _strict(copy.deepcopy(schema)) if strict else schema)
    return _validators[name, strict]


def complaints(name, data, strict=True, most=10):
    """A line for each way in which data is not what the schema says."""
    for nr, error in enumerate(validator(name, strict).iter_errors(data)):
        if nr == most:
            yield "... and more"
            return
        where = "/".join(str(p) for p in error.absolute_path)
        yield f"{name}.schema.json: at {where or 'the top'}: {error.message[:300]}"


def check(name, data):
    wrong = list(complaints(name, data, strict=False))
    if wrong:
        raise ValueError("\n".join(wrong))
    return data


def main():
    name, files = sys.argv[1], sys.argv[2:] or ["/dev/stdin"]
    status = 0
    for path in files:
        with open(path, encoding="utf-8") as f:
            for line in complaints(name, json.load(f)):
                print(f"{path}: {line}")
                status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
