"""A task of the pipeline as a pod, for an Airflow whose tasks run in a Kubernetes cluster.

`PIPELINE_RUNNER=kubernetes` asks for it. Promises what `docker_job` does, by the means of a cluster: the
exit code decides, the summary is the XCom and what the events of assets carry, no pod outlives its task,
and secrets are read by the cluster alone.

Settings, as variables of the scheduler: `PIPELINE_NAMESPACE` (default: that of the connection, or of the
scheduler), `PIPELINE_IMAGES` (where the images are, such as registry.example.org/ecomm-pipeline/),
`PIPELINE_TAG`. Passwords are keys of the cluster's secret `ecomm-pipeline`, named as in .env.example.

Needs the package apache-airflow-providers-cncf-kubernetes, which is in the official image of Airflow.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import models as k8s

from job import (
    SECRETS_PASSED_ON,
    STOP_GRACE_SECONDS,
    failure_of,
    last_said,
    settings_passed_on,
    summary_in,
    with_defaults,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

SECRET = "ecomm-pipeline"  # noqa: S105 - its name
USER = 10001  # of every image


def quantity(mem_limit: str) -> str:
    """Return a size as Docker writes it (256m) in the cluster's words (256Mi)."""
    if not (found := re.fullmatch(r"(\d+)([kmg])b?", mem_limit.lower())):
        raise ValueError(f"mem_limit {mem_limit!r} is not like 256m")
    return found[1] + {"k": "Ki", "m": "Mi", "g": "Gi"}[found[2]]


def from_secret(variable: str, key: str, *, optional: bool = False) -> k8s.V1EnvVar:
    """Return a variable of the container whose value the cluster's secret has."""
    chosen = k8s.V1SecretKeySelector(name=SECRET, key=key, optional=optional)
    return k8s.V1EnvVar(name=variable, value_from=k8s.V1EnvVarSource(secret_key_ref=chosen))


class KubernetesJob(KubernetesPodOperator):
    """Runs `<PIPELINE_IMAGES><task_id>` as a pod.

    :param secrets: variable in the container -> key of the cluster's secret
    :param command: words of the command line; empty ones are left out (templated)
    :param mem_limit: as Docker writes it
    """

    def __init__(
        self,
        *,
        secrets: dict[str, str] | None = None,
        command: list[str] | None = None,
        environment: dict[str, str] | None = None,
        mem_limit: str = "256m",
        **kwargs: Any,
    ) -> None:
        memory = quantity(mem_limit)
        variables = [k8s.V1EnvVar(name=name, value=value) for name, value in (environment or {}).items()]
        variables += [from_secret(name, key) for name, key in (secrets or {}).items()]
        variables += [from_secret(name, name, optional=True) for name in SECRETS_PASSED_ON]
        super().__init__(
            name=kwargs["task_id"].replace("_", "-"),
            namespace=os.environ.get("PIPELINE_NAMESPACE"),
            arguments=command or [],
            env_vars=variables,
            labels={
                "app.kubernetes.io/part-of": "ecomm-pipeline",
                "app.kubernetes.io/name": kwargs["task_id"],
            },
            container_resources=k8s.V1ResourceRequirements(
                requests={"cpu": "100m", "memory": memory}, limits={"memory": memory}
            ),
            security_context=k8s.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=USER,
                run_as_group=USER,
                seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
            ),
            container_security_context=k8s.V1SecurityContext(
                allow_privilege_escalation=False,
                read_only_root_filesystem=True,
                capabilities=k8s.V1Capabilities(drop=["ALL"]),
            ),
            volumes=[
                k8s.V1Volume(
                    name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit="64Mi")
                )
            ],
            volume_mounts=[k8s.V1VolumeMount(name="tmp", mount_path="/tmp")],  # noqa: S108
            automount_service_account_token=False,
            termination_grace_period=STOP_GRACE_SECONDS,
            on_finish_action="delete_pod",
            log_pod_spec_on_failure=False,
            do_xcom_push=False,  # of a side car; the summary is returned
            **with_defaults(kwargs),
        )
        self._mem_limit = mem_limit
        self._code: int | None = None
        self._said: list[str] = []
        self._ran_out_of_memory = False

    def execute(self, context: Context) -> Any:
        self.arguments = [word for word in self.arguments or [] if word]
        passed_on = settings_passed_on(context["ti"])
        self.env_vars = [
            *self.env_vars,
            *(k8s.V1EnvVar(name=name, value=value) for name, value in passed_on.items()),
        ]
        try:
            super().execute(context)
        except AirflowException as failure:
            raise self._explain(failure, context["ti"].try_number) from None
        summary = summary_in(self._said)
        for asset in self.outlets:
            context["outlet_events"][asset].extra = summary or {}
        return summary

    def cleanup(self, pod: k8s.V1Pod, remote_pod: k8s.V1Pod, *args: Any, **kwargs: Any) -> None:
        if remote_pod:
            self._take_down_the_end(remote_pod)
        super().cleanup(pod, remote_pod, *args, **kwargs)

    def _take_down_the_end(self, pod: k8s.V1Pod) -> None:
        statuses = (pod.status and pod.status.container_statuses) or []
        ended = next(
            (status.state.terminated for status in statuses if status.name == self.base_container_name), None
        )
        if ended is not None:
            self._code, self._ran_out_of_memory = ended.exit_code, ended.reason == "OOMKilled"
        log = self.client.read_namespaced_pod_log(
            pod.metadata.name, pod.metadata.namespace, container=self.base_container_name, tail_lines=100
        )
        self._said = log.splitlines()

    def _explain(self, failure: AirflowException, try_number: int) -> AirflowException:
        if self._code is None:
            return failure
        summary = summary_in(self._said) or {}
        return failure_of(
            self.task_id,
            self._code,
            summary.get("error") or last_said(self._said),
            try_number=try_number,
            ran_out_of=self._mem_limit if self._ran_out_of_memory else None,
        )
