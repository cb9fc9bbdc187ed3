"""OpenLineage events of a run of dbt, as the other tasks send them: START, then COMPLETE or FAIL.

Off unless OPENLINEAGE_URL (http://collector:5000) or OPENLINEAGE_FILE says where they go. A collector that
does not answer is one warning, and never the run's failure.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PRODUCER = "urn:ecomm-pipeline:dbt"
SCHEMAS = "https://openlineage.io/spec"
TIMEOUT_SECONDS = 3


def facet(version: str, name: str, **content: Any) -> dict[str, Any]:
    """Return a facet with what each has to have: who made it, and its schema."""
    schema = f"{SCHEMAS}/facets/{version}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": schema} | content


def parent() -> dict[str, Any]:
    """Return the facet of the run that this one is a part of: NAMESPACE/JOB/RUN-ID of the environment."""
    try:
        namespace, job, run = os.environ.get("OPENLINEAGE_PARENT_ID", "").rsplit("/", 2)
        run_id = str(uuid.UUID(run))
    except ValueError:
        return {}
    ids = {"run": {"runId": run_id}, "job": {"namespace": namespace, "name": job}}
    return {"parent": facet("1-0-1", "ParentRunFacet", **ids)}


class Lineage:
    """The events of one run."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.run_id = str(uuid.uuid4())
        self.warned = False

    def start(self) -> None:
        """Say that the run begins."""
        self.send("START", {}, [], [])

    def end(self, inputs: list[str], rows: dict[str, int], server: str, error: str | None) -> None:
        """Say how it ended: tables that it read, rows that it wrote to each table, `host:port/database`."""
        place, _, database = server.partition("/")

        def table(name: str) -> dict[str, Any]:
            return {"namespace": f"postgres://{place}", "name": f"{database}.{name}"}

        outputs = []
        for name, count in rows.items():
            statistics = facet("1-0-2", "OutputStatisticsOutputDatasetFacet", rowCount=count)
            outputs.append(table(name) | {"outputFacets": {"outputStatistics": statistics}})
        said = {}
        if error:
            said["errorMessage"] = facet(
                "1-0-1", "ErrorMessageRunFacet", message=error, programmingLanguage="Python"
            )
        self.send("FAIL" if error else "COMPLETE", said, [table(name) for name in inputs], outputs)

    def send(self, kind: str, facets: dict[str, Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Send one event to each place that is set; what fails is said once."""
        url, file = os.environ.get("OPENLINEAGE_URL"), os.environ.get("OPENLINEAGE_FILE")
        if not url and not file:
            return
        kind_of_job = {"processingType": "BATCH", "integration": "DBT", "jobType": "TASK"}
        job_type = facet("2-0-3", "JobTypeJobFacet", **kind_of_job)
        event = {
            "eventType": kind,
            "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "producer": PRODUCER,
            "schemaURL": f"{SCHEMAS}/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": self.run_id, "facets": parent() | facets},
            "job": {
                "namespace": os.environ.get("OPENLINEAGE_NAMESPACE") or "ecomm-pipeline",
                "name": self.job,
                "facets": {"jobType": job_type},
            },
            "inputs": inputs,
            "outputs": outputs,
        }
        for deliver, place in [(append, file), (post, url)]:
            if not place:
                continue
            try:
                deliver(place, json.dumps(event))
            except Exception as problem:  # whatever it is, the star is more important
                if not self.warned:
                    print(f"lineage could not be sent, and is left out: {problem}", file=sys.stderr)
                self.warned = True


def append(file: str, event: str) -> None:
    """Append an event to a file."""
    with Path(file).open("a") as lines:
        lines.write(event + "\n")


def post(url: str, event: str) -> None:
    """Send an event to a collector."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENLINEAGE_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(  # noqa: S310
        f"{url.rstrip('/')}/api/v1/lineage", data=event.encode(), headers=headers
    )
    urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()  # noqa: S310
