"""Prints the pods that the DAGs would start in a cluster, a JSON document a line; needs no cluster.

python render_pods.py FOLDER_OF_DAGS
"""

import json
import os
import sys

os.environ |= {"PIPELINE_RUNNER": "kubernetes", "PIPELINE_NAMESPACE": "pipeline"}
folder = sys.argv[1]
sys.path.insert(0, folder)

from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from kubernetes.client import ApiClient  # noqa: E402

from kubernetes_job import KubernetesJob  # noqa: E402

bag = DagBag(folder)
if bag.import_errors:
    raise SystemExit(f"DAGs cannot be imported: {bag.import_errors}")
for dag in bag.dags.values():
    for task in dag.tasks:
        if isinstance(task, KubernetesJob):
            pod = ApiClient().sanitize_for_serialization(task.build_pod_request_obj(dry_run=True))
            print(json.dumps({"dag": dag.dag_id, "task": task.task_id, "pod": pod}))
