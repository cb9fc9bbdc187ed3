"""Messages to people: a task failed for good, a run is late.

They go where the Airflow connection `pipeline_alerts` points: an incoming webhook that takes the JSON
{"text": ...}, as those of Slack, Mattermost and many a relay do. Without that connection nobody is told, and
nothing else happens.

The connection is best given in the environment (PIPELINE_ALERTS in .env, as a URI, the webhook's path as its
password). One that is made in Airflow's UI does for tasks, and not for late runs: the callback of a deadline
may read no connection from Airflow's database (3.3.2).

Promises, whatever the webhook does:

* a message that cannot be sent fails no task and no run: it is a warning in the log, without the address,
  which is a secret in itself;
* no message holds a secret: what Airflow masks in logs is masked in it, and so is every password, key and
  token in the environment or among the secret files of the process that sends it;
* a message is short, and says what failed, why, in which run, and where its log is.
"""

from __future__ import annotations

import json
import logging
import os
import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import redact

if TYPE_CHECKING:
    from airflow.sdk import Context

CONNECTION = "pipeline_alerts"
TIMEOUT_SECONDS = 5
LONGEST_REASON = 500
# shorter words would take half a sentence with them; Airflow masks no shorter ones either
SHORTEST_SECRET = 5
SECRET_NAMES = re.compile(r"PASSWORD|SECRET|TOKEN|FERNET|_KEY$|_CONN$|_URL$|^AIRFLOW_CONN_")
SECRET_FILES = Path("/run/secrets")
PASSWORD_IN_URL = re.compile(r"://[^:/@\s]*:([^@/\s]+)@")

log = logging.getLogger(__name__)


def task_failed(context: Context) -> None:
    """Say that a task failed and is not tried again (on_failure_callback)."""
    instance = context["ti"]
    reason = context.get("exception") or "it ended without a word: see its log and that of the scheduler"
    tries = f"try {instance.try_number}"
    send(
        f":red_circle: {instance.dag_id}.{instance.task_id} failed ({tries})\n"
        f"{one_line(str(reason))}\n"
        f"run {instance.run_id}: {getattr(instance, 'log_url', 'see its log')}"
    )


def run_late(context: dict[str, Any], limit_seconds: float) -> None:
    """Say that a run is not over in time (callback of a DeadlineAlert)."""
    run = context["dag_run"]
    # Airflow keeps the deadline of a run that failed in time; its failure has been told already
    if run.get("end_date"):
        log.info("run %s had ended by its deadline", run["dag_run_id"])
        return
    minutes = f"{limit_seconds / 60:g}"
    send(
        f":hourglass: {run['dag_id']} is late: not over {minutes} minutes after its time\n"
        f"run {run['dag_run_id']}, {run['state']}"
    )


def send(text: str) -> None:
    """Send a message, if there is somebody to send it to. Never raises."""
    try:
        connection = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        log.info("nobody is told: there is no connection %s", CONNECTION)
        return
    except Exception as problem:
        log.warning(
            "nobody is told: connection %s cannot be read (%s); give it as AIRFLOW_CONN_%s",
            CONNECTION,
            type(problem).__name__,
            CONNECTION.upper(),
        )
        return
    try:
        body = json.dumps({"text": without_secrets(text)}).encode()
        request = urllib.request.Request(  # noqa: S310
            address(connection), data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()  # noqa: S310
        log.info("told %s", CONNECTION)
    except Exception as problem:
        # not its text, which may name the address
        code = getattr(problem, "code", "")
        kind = type(problem).__name__
        log.warning("nobody is told: %s did not take the message (%s %s)", CONNECTION, kind, code)


def address(connection: Connection) -> str:
    """Return the webhook's address: the host, and what is secret of the path as the password."""
    host = connection.host or ""
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    if not host.startswith(("http://", "https://")):
        raise ValueError("the webhook is not at an http address")
    if connection.port:
        host = f"{host.rstrip('/')}:{connection.port}"
    return f"{host.rstrip('/')}/{(connection.password or '').lstrip('/')}"


def without_secrets(text: str) -> str:
    """Return the text with every secret that this process knows blotted out."""
    text = str(redact(text))
    kept = [value for name, value in os.environ.items() if SECRET_NAMES.search(name)]
    kept += [file.read_text().strip() for file in SECRET_FILES.glob("*") if os.access(file, os.R_OK)]
    for value in kept:
        # of an address only the password is one
        secrets = PASSWORD_IN_URL.findall(value) if "://" in value else [value]
        for secret in [*secrets, *map(unquote, secrets)]:
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
    return text


def one_line(text: str) -> str:
    """Return a reason as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[:LONGEST_REASON] + " ..."
