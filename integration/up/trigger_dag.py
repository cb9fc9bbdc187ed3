"""Triggers a DAG over Airflow's REST API and waits for its end: trigger_dag.py DAG_ID SECONDS [CONF_JSON].

Runs inside an Airflow container, which has Python whatever the host has. The login comes from the environment
(AIRFLOW_USERNAME, AIRFLOW_PASSWORD). Prints one line per task; exits 1 unless the run succeeded.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

API = "http://airflow-api-server:8082"
FINAL = {"success", "failed"}


def call(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_for_dag(dag_id, token, seconds=90):
    """The DAG processor reads a new file some seconds after its start."""
    limit = time.monotonic() + seconds
    while True:
        try:
            return call("GET", f"/api/v2/dags/{dag_id}", token=token)
        except urllib.error.HTTPError as error:
            if error.code != 404 or time.monotonic() > limit:
                raise
            time.sleep(1)


def main(dag_id, seconds, conf):
    login = {"username": os.environ["AIRFLOW_USERNAME"], "password": os.environ["AIRFLOW_PASSWORD"]}
    token = call("POST", "/auth/token", login)["access_token"]
    if wait_for_dag(dag_id, token)["is_paused"]:
        sys.exit(f"{dag_id} is paused: switch it on in the Airflow UI")
    run = call("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf}, token)
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run['dag_run_id']}"
    limit = time.monotonic() + seconds
    while run["state"] not in FINAL:
        if time.monotonic() > limit:
            sys.exit(f"{dag_id} {run['dag_run_id']}: {run['state']} after {seconds} s")
        time.sleep(1)
        run = call("GET", path, token=token)
    for task in call("GET", f"{path}/taskInstances", token=token)["task_instances"]:
        print(f"  {task['task_id']:<10} {task['state']:<16} {task['duration'] or 0:6.1f} s")
    print(f"  {dag_id}: {run['state']}")
    return 0 if run["state"] == "success" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}))
