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
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.log import mask_secret
from docker.errors import APIError, NotFound

from job import (
    LABEL,
    SECRETS,
    SECRETS_PASSED_ON,
    STOP_GRACE_SECONDS,
    failure_of,
    last_said,
    read_secret,
    settings_passed_on,
    summary_in,
    with_defaults,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

NETWORK = os.environ.get("PIPELINE_NETWORK", "ecomm")


class DockerJob(DockerOperator):
    """Runs `ecomm-pipeline/<task_id>` on the stack's network.

    :param secrets: variable in the container -> secret of the scheduler's: a file, else a variable
    :param command: words of the command line; empty ones are left out (templated)
    """

    pickling_library = json  # should anyone turn on retrieve_output: never unpickle what a container wrote

    def __init__(self, *, secrets: dict[str, str] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("mem_limit", "256m")
        super().__init__(
            network_mode=NETWORK,
            mount_tmp_dir=False,  # the stock default mounts a directory of the host
            auto_remove="never",  # the stock ways either leak the container or kill it outright
            force_pull=False,
            log_opts_max_size="10m",
            log_opts_max_file="3",
            **with_defaults(kwargs),
        )
        self.secrets = secrets or {}

    def execute(self, context: Context) -> Any:
        if not self.cli.images(name=self.image):
            raise AirflowFailException(f"there is no image {self.image} here: build it (make up does)")
        self.command = [word for word in self.command or [] if word]
        self.environment |= settings_passed_on(context["ti"])
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
        summary = summary_in(stdout.decode(errors="replace").splitlines())
        if summary is None:
            self.log.warning("no line on stdout is a JSON summary")
        return summary

    def _explain(self, failure: DockerContainerFailedException, try_number: int) -> AirflowException:
        state = self.cli.inspect_container(self.container["Id"])["State"]
        return failure_of(
            self.task_id,
            state["ExitCode"],
            last_said(failure.logs or []),
            try_number=try_number,
            ran_out_of=self.mem_limit if state.get("OOMKilled") else None,
        )

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
