"""What the DAGs are written with; `PIPELINE_RUNNER` says what runs containers: docker, or kubernetes."""

import os

from job import DEFAULT_ARGS, option, read_secret

RUNNER = os.environ.get("PIPELINE_RUNNER") or "docker"
if RUNNER == "docker":
    from docker_job import DockerJob as PipelineJob
elif RUNNER == "kubernetes":
    from kubernetes_job import KubernetesJob as PipelineJob
else:
    raise ValueError(f"PIPELINE_RUNNER is {RUNNER!r}: docker and kubernetes are known")

__all__ = ["DEFAULT_ARGS", "PipelineJob", "option", "read_secret"]
