"""Checks every JSON file of the Power BI project against Microsoft's schemas, which lie in powerbi/schemas.

A part of `make lint`; alone: pip install jsonschema, then python powerbi/check_schemas.py
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

ADDRESS = "https://developer.microsoft.com/json-schemas/"
HERE = Path(__file__).parent
JSON_FILES = {".json", ".pbir", ".pbism", ".pbip"}


def retrieve(address: str) -> Resource:
    """Return the schema that has this address."""
    path = HERE / "schemas" / address.removeprefix(ADDRESS)
    return Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT7)


def main() -> int:
    """Return 1 if there is a fault, each printed with its file, or nothing to check."""
    registry = Registry(retrieve=retrieve)
    faults = checked = 0
    for path in sorted(HERE.glob("shop.*")) + sorted(HERE.glob("shop.*/**/*")):
        if not path.is_file() or (path.suffix not in JSON_FILES and path.name != ".platform"):
            continue
        content = json.loads(path.read_text())
        schema = {"$ref": content["$schema"]}
        for fault in Draft7Validator(schema, registry=registry).iter_errors(content):
            print(f"{path}: {fault.json_path}: {fault.message}")
            faults += 1
        checked += 1
    print(f"{checked} files, {faults} faults")
    return 1 if faults or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
