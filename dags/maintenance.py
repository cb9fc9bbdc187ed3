"""
### Upkeep, every night

```
maintain            airflow_metadata            airflow_logs
```

| task | what it does |
|---|---|
| `maintain` | deletes replaced verdicts, refreshes statistics, names dead rows; packs old small raw files |
| `airflow_metadata` | `airflow db clean`: runs, task instances, XComs and the rest of Airflow's own records |
| `airflow_logs` | log files of tasks, of the DAG processor and of callbacks |

None of it is needed for the pipeline to be right, and nothing that a later run reads is deleted: the ledger,
rejects, replays and the newest verdict on each file stay for ever. Temporary files on HDFS are swept,
here and in every run of `archive`. Raw files are kept: they are the history. In a pack each stays as it was.
"""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param

from pipeline_job import DEFAULT_ARGS, PipelineJob, option


def days(value: int, minimum: int, title: str, description: str) -> Param:
    """Return a field for how long something is kept."""
    return Param(value, type="integer", minimum=minimum, title=title, description=description)


PARAMS = {
    "keep_audit_days": days(
        90,
        7,
        "Keep verdicts (days)",
        "maintain: the newest verdict on each file and store stays whatever its age.",
    ),
    "compact_after_days": days(
        7,
        3,
        "Pack raw files (days)",
        "maintain: small raw files that are so old are packed into larger ones.",
    ),
    "keep_metadata_days": days(
        30,
        1,
        "Keep Airflow's records (days)",
        "The last scheduled run of each DAG stays whatever its age.",
    ),
    "keep_log_days": days(
        30, 1, "Keep Airflow's logs (days)", "Of tasks, of the DAG processor, of callbacks."
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Only say what would go",
        description="Deletes nothing, packs nothing.",
    ),
}

# Airflow lets the process of a task see no database, so this one starts with an environment of its own. The
# address, which has a password, is read from a file and stands on no command line.
CLEAN = """
set -euo pipefail
before=$(date -u -d "-$KEEP_DAYS days" +%Y-%m-%dT%H:%M:%SZ)
words=(--clean-before-timestamp "$before" --skip-archive --yes --error-on-cleanup-failure)
if [[ $DRY_RUN == True ]]; then words+=(--dry-run); fi
env -i PATH="$PATH" HOME="$HOME" AIRFLOW_HOME="$AIRFLOW_HOME" \
  AIRFLOW__CORE__AUTH_MANAGER="$AIRFLOW__CORE__AUTH_MANAGER" \
  PGSSLMODE="${PGSSLMODE:-prefer}" PGSSLROOTCERT="${PGSSLROOTCERT:-}" \
  AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD='cat /run/secrets/AIRFLOW_META_URL' \
  airflow db clean "${words[@]}"
printf '{"cleaned_before": "%s"}\\n' "$before"
"""

SWEEP_LOGS = """
set -euo pipefail
cd "${AIRFLOW__LOGGING__BASE_LOG_FOLDER:-${AIRFLOW_HOME:?}/logs}"
old=(-type f -mtime "+$KEEP_DAYS")
files=$(find . "${old[@]}" | wc -l)
if [[ $DRY_RUN != True ]]; then
  find . "${old[@]}" -delete
  # not the new ones, into which somebody is about to write
  find . -mindepth 1 -type d -empty -mtime +1 -delete
fi
echo "{\\"files\\": $files}"
"""

with DAG(
    dag_id="maintenance",
    description="Every night: retention, statistics, Airflow's own records and logs",
    doc_md=__doc__,
    # no start date: the first night is the next one, and `make up` does not wait for it
    schedule=CronTriggerTimetable("17 3 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["ecomm-pipeline", "every night"],
):
    PipelineJob(
        task_id="maintain",
        command=[
            option("keep_audit_days"),
            option("compact_after_days"),
            "{{ '--dry-run' if params.dry_run else '' }}",
        ],
        secrets={"POSTGRES_PASSWORD": "MAINTAINER_PASSWORD"},
        pool="postgres",
        mem_limit="512m",  # a pack is put together in memory
        doc_md="Retention and statistics, as the role `maintainer`, which can do just that; then packs.",
    )
    BashOperator(
        task_id="airflow_metadata",
        bash_command=CLEAN,
        env={
            "KEEP_DAYS": "{{ params.keep_metadata_days }}",
            "DRY_RUN": "{{ params.dry_run }}",
        },
        append_env=True,
        pool="postgres",
        retries=1,
        doc_md="Airflow's own records of runs, older than the form says. Its database grows without it.",
    )
    BashOperator(
        task_id="airflow_logs",
        bash_command=SWEEP_LOGS,
        env={
            "KEEP_DAYS": "{{ params.keep_log_days }}",
            "DRY_RUN": "{{ params.dry_run }}",
        },
        append_env=True,
        retries=1,
        doc_md="Files in Airflow's log folder, older than the form says, and folders that are empty then.",
    )
