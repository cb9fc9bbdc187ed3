"""Checks that docs/operations.md knows every alert, and every message of the tasks that asks for a person.

Of a message the longest part between its variables has to be there, word for word.
"""

import re
import sys
from pathlib import Path

CALL = re.compile(r'(?:person_needed|PersonNeeded)\(\s*(?:format!\(\s*)?"((?:[^"\\]|\\.)*)"', re.DOTALL)
LITERAL_END = re.compile(r"\\\n\s*")  # a string that goes on in the next line


def messages(source: str) -> list[str]:
    """Return the fixed part of each message that is written where it is used."""
    code = source.split("#[cfg(test)]")[0]
    texts = [LITERAL_END.sub("", text).replace('\\"', '"') for text in CALL.findall(code)]
    return [max(re.split(r"\{[^}]*\}", text), key=len).strip(" :,.;") for text in texts]


def main() -> int:
    """Print what is missing; return how a check ends."""
    page = " ".join(Path("docs/operations.md").read_text().split())
    wanted = dict.fromkeys(re.findall(r"- alert: (\w+)", Path("prometheus/alerts.yml").read_text()), "alert")
    for file in sorted(Path("tasks").glob("*/src/**/*.rs")):
        wanted |= dict.fromkeys(messages(file.read_text()), str(file))
    missing = [f"{where}: {text}" for text, where in wanted.items() if " ".join(text.split()) not in page]
    print(f"{len(wanted)} alerts and messages; not in docs/operations.md: {len(missing)}", *missing, sep="\n")
    return 1 if missing or len(wanted) < 50 else 0


sys.exit(main())
