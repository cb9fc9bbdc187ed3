"""What a task of the pipeline is, whatever runs its container: its image, its limits, what it is told."""

from __future__ import annotations

import json
import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from notifier import task_failed

IMAGE_PREFIX = os.environ.get("PIPELINE_IMAGES", "ecomm-pipeline/")
IMAGE_TAG = os.environ.get("PIPELINE_TAG", "dev")

# where the servers are, for a stack that does not use the images' defaults; where metrics go; how much
# is done side by side
PASSED_ON = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_TOPIC",
    "KAFKA_USERNAME",
    "HDFS_URL",
    "RAW_ROOT",
    "POSTGRES_URL",
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_DB",
    "CASSANDRA_CONTACT_POINTS",
    "CASSANDRA_KEYSPACE",
    "CASSANDRA_USERNAME",
    "LOAD_CONNECTIONS",
    "DBT_THREADS",
    "METRICS_PUSH_URL",
    "OPENLINEAGE_URL",
    "OPENLINEAGE_NAMESPACE",
)

# the same for every job, where servers ask for logins and show certificates
SECRETS_PASSED_ON = ("KAFKA_PASSWORD", "KAFKA_CA", "POSTGRES_CA", "CASSANDRA_PASSWORD", "OPENLINEAGE_API_KEY")

SECRETS = Path("/run/secrets")
LABEL = "com.ecomm-pipeline"
EXIT_PERSON_NEEDED = 2
STOP_GRACE_SECONDS = 20
TRIES_WITHOUT_MEMORY = 2

# of every DAG, so that its other operators are told of too
DEFAULT_ARGS = {"owner": "ecomm-pipeline", "on_failure_callback": task_failed}


def option(name: str) -> str:
    """Return a command word for the form's field `name`: `--the-name=value`, or nothing if it is empty."""
    flag = "--" + name.replace("_", "-")
    return f"{{{{ '' if params.{name} is none else '{flag}=' ~ params.{name} }}}}"


def read_secret(name: str) -> str | None:
    """Return a secret of the scheduler's, as compose hands it over, or as its environment has it."""
    file = SECRETS / name
    return file.read_text().rstrip("\n") if file.exists() else os.environ.get(name)


def with_defaults(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return an operator's options, with what every task of the pipeline has that its DAG leaves open."""
    defaults = {
        "image": f"{IMAGE_PREFIX}{kwargs['task_id']}:{IMAGE_TAG}",
        "execution_timeout": timedelta(minutes=30),
        "retries": 3,
        "retry_delay": timedelta(seconds=20),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=5),
    }
    return defaults | kwargs


def settings_passed_on(instance: Any) -> dict[str, str]:
    """Return the variables of the scheduler's that every job has; with lineage, the DAG run of its events."""
    values = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
    if os.environ.get("OPENLINEAGE_URL"):
        run = uuid.uuid5(uuid.NAMESPACE_URL, f"airflow:{instance.dag_id}/{instance.run_id}")
        values["OPENLINEAGE_PARENT_ID"] = f"airflow/{instance.dag_id}/{run}"
    return values


def summary_in(lines: list[str]) -> Any:
    """Return the newest of these lines that is a task's summary, or nothing."""
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "exit_code" in found:
            return found
    return None


def failure_of(
    task: str, code: int | None, said: str, *, try_number: int, ran_out_of: str | None
) -> AirflowException:
    """Return what a container's end is to Airflow: a failure that is tried again, or one that is not.

    :param said: why, in the task's words
    :param ran_out_of: the memory limit, if that ended it
    """
    if ran_out_of is not None:
        said = f"{task} needed more memory than its limit, {ran_out_of}"
        if try_number < TRIES_WITHOUT_MEMORY:
            return AirflowException(said)
        return AirflowFailException(f"{said}, {try_number} times: raise mem_limit in its DAG")
    if code == EXIT_PERSON_NEEDED:
        return AirflowFailException(f"{task} needs a person (exit code {code}): {said}")
    return AirflowException(f"{task} failed (exit code {code}): {said}")


def last_said(lines: list[str]) -> str:
    """Return the last of these lines that says something."""
    return next((line for line in reversed(lines) if line.strip()), "it logged nothing")
