"""Checks every JSON file of the report against Microsoft's schemas.

git clone https://github.com/microsoft/json-schemas
pip install jsonschema
python powerbi/check_schemas.py json-schemas
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

ADDRESS = "https://developer.microsoft.com/json-schemas/"


def main() -> int:
    """Return how many faults there are, each printed with its file."""
    schemas = Path(sys.argv[1])

    def retrieve(address: str) -> Resource:
        path = schemas / address.removeprefix(ADDRESS)
        return Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT7)

    registry = Registry(retrieve=retrieve)
    files = [path for path in sorted(Path(__file__).parent.rglob("*")) if path.is_file()]
    faults = checked = 0
    for path in files:
        if path.suffix not in {".json", ".pbir", ".pbism", ".pbip"} and path.name != ".platform":
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
