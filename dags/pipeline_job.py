"""A task of the pipeline as an Airflow task: one container, started safely and never left behind.

Promises, whatever happens to the task, the scheduler or the container:

* no container outlives its task: it gets SIGTERM, time to finish what it writes, then SIGKILL, and is
  removed; one that an earlier try left (its scheduler was killed) is removed before the next one starts;
* the exit code decides: 0 done, 2 a person is needed (failed, not tried again), else tried again, later
  each time; a task that needed more memory than it may have is tried again once, since the next time it would
  most likely need as much;
* the container's log is the task's log, and its summary (the last line on stdout) is the XCom, and what the
  events of the task's assets carry;
* a task that failed for good is told to people, if there is anyone to tell (`notifier`);
* secrets are read when the task starts, from files of the scheduler's or its environment: they are in no
  serialized DAG, rendered template, log or process list;
* nothing is pulled: images are built beside the stack;
* what else a container may be, `socket_proxy` decides, through which the engine is reached.

It does not promise that a job runs once. The tasks themselves are safe to run twice.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.log import mask_secret
from docker.errors import APIError, NotFound

from notifier import task_failed

if TYPE_CHECKING:
    from airflow.sdk import Context

IMAGE_TAG = os.environ.get("PIPELINE_TAG", "dev")
NETWORK = os.environ.get("PIPELINE_NETWORK", "ecomm")

# where the servers are, for a stack that does not use the images' defaults; and where metrics go
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
    "METRICS_PUSH_URL",
    "OPENLINEAGE_URL",
    "OPENLINEAGE_NAMESPACE",
)

# the same for every job, where servers ask for logins and show certificates
SECRETS_PASSED_ON = ("KAFKA_PASSWORD", "KAFKA_CA", "POSTGRES_CA", "OPENLINEAGE_API_KEY")

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


class PipelineJob(DockerOperator):
    """Runs `ecomm-pipeline/<task_id>` on the stack's network.

    :param secrets: variable in the container -> secret of the scheduler's: a file, else a variable
    :param command: words of the command line; empty ones are left out (templated)
    """

    pickling_library = json  # should anyone turn on retrieve_output: never unpickle what a container wrote

    def __init__(self, *, secrets: dict[str, str] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("image", f"ecomm-pipeline/{kwargs['task_id']}:{IMAGE_TAG}")
        kwargs.setdefault("mem_limit", "256m")
        kwargs.setdefault("execution_timeout", timedelta(minutes=30))
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(seconds=20))
        kwargs.setdefault("retry_exponential_backoff", 2)
        kwargs.setdefault("max_retry_delay", timedelta(minutes=5))
        super().__init__(
            network_mode=NETWORK,
            mount_tmp_dir=False,  # the stock default mounts a directory of the host
            auto_remove="never",  # the stock ways either leak the container or kill it outright
            force_pull=False,
            log_opts_max_size="10m",
            log_opts_max_file="3",
            **kwargs,
        )
        self.secrets = secrets or {}

    def execute(self, context: Context) -> Any:
        if not self.cli.images(name=self.image):
            raise AirflowFailException(f"there is no image {self.image} here: build it (make up does)")
        self.command = [word for word in self.command or [] if word]
        self.environment |= {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
        self.environment |= self._lineage(context["ti"])
        self._private_environment = self._read_secrets()
        self._reap_and_label(context)
        try:
            super().execute(context)
            summary = self._summary()
        except DockerContainerFailedException as failure:
            raise self._explain(failure, context["ti"].try_number) from None
        else:
            for asset in self.outlets:
                context["outlet_events"][asset].extra = summary or {}
            return summary
        finally:
            self.on_kill()

    def on_kill(self) -> None:
        if self.container is not None:
            self._dispose(self.container["Id"])

    def _read_secrets(self) -> dict[str, str]:
        values = {}
        for name, source in self.secrets.items():
            value = read_secret(source)
            if not value:
                raise AirflowFailException(f"{SECRETS / source} is missing or empty, and {source} is not set")
            mask_secret(value)
            values[name] = value
        for name in SECRETS_PASSED_ON:
            if value := read_secret(name):
                if not name.endswith("_CA"):
                    mask_secret(value)
                values[name] = value
        return values

    def _lineage(self, instance: Any) -> dict[str, str]:
        """Name the DAG run as the one that the task's OpenLineage events belong to, by one id."""
        if not os.environ.get("OPENLINEAGE_URL"):
            return {}
        run = uuid.uuid5(uuid.NAMESPACE_URL, f"airflow:{instance.dag_id}/{instance.run_id}")
        return {"OPENLINEAGE_PARENT_ID": f"airflow/{instance.dag_id}/{run}"}

    def _reap_and_label(self, context: Context) -> None:
        instance = context["ti"]
        owner = {"job": "1", "network": NETWORK, "dag": instance.dag_id, "task": instance.task_id}
        owner["map_index"] = str(instance.map_index)
        run = {"run": instance.run_id}
        # where runs follow one another, a container of any other run is as orphaned as one of this run
        claimed = owner if context["dag"].max_active_runs == 1 else owner | run
        filters = {"label": [f"{LABEL}.{key}={value}" for key, value in claimed.items()]}
        for orphan in self.cli.containers(all=True, filters=filters):
            self.log.warning("removing container %s, left by an earlier try", orphan["Id"][:12])
            self._dispose(orphan["Id"])
        labels = owner | run | {"try": str(instance.try_number)}
        self.labels = {f"{LABEL}.{key}": value for key, value in labels.items()}

    def _summary(self) -> Any:
        # Not the operator's own result, which is the last line of stdout and stderr together; nor tail=1,
        # which the engine counts before it leaves stderr out.
        stdout = self.cli.logs(self.container["Id"], stdout=True, stderr=False, tail=100)
        lines = stdout.decode(errors="replace").splitlines()
        try:
            return json.loads(lines[-1])
        except (IndexError, ValueError):
            self.log.warning("the last line on stdout is no JSON summary")
            return None

    def _explain(self, failure: DockerContainerFailedException, try_number: int) -> AirflowException:
        state = self.cli.inspect_container(self.container["Id"])["State"]
        code = state["ExitCode"]
        if state.get("OOMKilled"):
            said = f"{self.task_id} needed more memory than its limit, {self.mem_limit}"
            if try_number < TRIES_WITHOUT_MEMORY:
                return AirflowException(said)
            return AirflowFailException(f"{said}, {try_number} times: raise mem_limit in its DAG")
        said = next((line for line in reversed(failure.logs or []) if line.strip()), "it logged nothing")
        if code == EXIT_PERSON_NEEDED:
            return AirflowFailException(f"{self.task_id} needs a person (exit code {code}): {said}")
        return AirflowException(f"{self.task_id} failed (exit code {code}): {said}")

    def _dispose(self, container: str) -> None:
        try:
            self.cli.stop(container, timeout=STOP_GRACE_SECONDS)  # nothing to do if it has ended
            self.cli.remove_container(container, force=True, v=True)
        except NotFound:
            pass  # somebody else removed it, which is all that is wanted
        except APIError as problem:
            if problem.status_code == HTTPStatus.CONFLICT:
                return  # somebody else is removing it
            # the next try, or `make down`, finds it by its labels
            self.log.warning("could not remove container %s: %s", container[:12], problem)
