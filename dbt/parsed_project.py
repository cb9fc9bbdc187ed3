"""The project as it was parsed when the image was built, for whatever server and database a run is told.

dbt takes up what it parsed only for the connection that it was parsed with: other hosts, ports and databases
count as a changed profile, and everything is parsed again. Yet all that depends on them is the name of the
database, in every node and in its relation's name: those are set here, and dbt is handed the rest as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

PROJECT = Path(__file__).resolve().parent
PARSED = PROJECT / "target" / "partial_parse.msgpack"
SOURCES = {".sql", ".yml"}


def read_parsed_project(database: str) -> Manifest | None:
    """Return what dbt parsed, for that database; None where dbt has to parse by itself."""
    if not PARSED.exists() or is_older_than_its_sources():
        return None
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(PARSED.read_bytes(), decoder=extended_mashumuro_decoder)
    for node in [*manifest.nodes.values(), *manifest.sources.values()]:
        if node.relation_name:
            node.relation_name = node.relation_name.replace(f'"{node.database}".', f'"{database}".', 1)
        node.database = database
    manifest.build_flat_graph()
    return manifest


def is_older_than_its_sources() -> bool:
    """Tell whether somebody has edited the project since."""
    parsed_at = PARSED.stat().st_mtime
    return any(
        path.stat().st_mtime > parsed_at
        for path in PROJECT.rglob("*")
        if path.suffix in SOURCES and PARSED.parent not in path.parents
    )
