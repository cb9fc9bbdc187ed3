"""What the pipeline brings up to date, as Airflow assets: other DAGs may be scheduled on them.

Every task that changes one says so, with its summary as the event's `extra`: how many rows, of which files.
"""

from airflow.sdk import Asset

GROUP = "ecomm-pipeline"

RAW = Asset(name="raw", uri="postgres://postgres:5432/airflow/raw/log_event", group=GROUP)
MARTS = Asset(name="marts", uri="postgres://postgres:5432/airflow/marts/fact_event", group=GROUP)
