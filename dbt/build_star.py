"""Builds the star: `dbt build`, one run at a time, ending with a JSON summary as the last line on stdout.

Exit codes: 0 done; 1 failed, a retry may help (PostgreSQL away, a lock held too long); 2 a person is
needed (a test failed, a model or an option is wrong). dbt's own codes do not tell the two apart.
The log goes to stderr. SIGTERM cancels the running queries and ends the run; the next run repairs it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg2

from lineage import Lineage
from parsed_project import PARSED, PROJECT, read_parsed_project

TABLES_READ = ["ops.load_file", "ops.replay", "raw.log_event", "raw.product", "raw.user_profile"]
DONE, FAILED, PERSON_NEEDED = 0, 1, 2
STATUS = {DONE: "done", FAILED: "failed", PERSON_NEEDED: "person_needed"}
LONGEST_MESSAGE = 300
# as in dbt_project.yml
FAILURES = "test_failures"

# Two runs at once would each take the other's half-built tables for their own. The server lets go of
# the lock when the session that holds it ends, however it ends.
LOCK_KEY = int.from_bytes(b"star")

stopping = threading.Event()
# what the lineage says: rows by table, with its schema
tables_written: dict[str, int] = {}


class Stop(Exception):  # noqa: N818
    """Ends the run with an exit code and one line that names what to do."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_options() -> argparse.Namespace:
    """Read the options; each is also an environment variable."""
    parser = argparse.ArgumentParser(
        prog="dbt",
        description="Build the star schema in PostgreSQL from what the load task put into raw.",
        epilog="The password of the role transformer comes from TRANSFORMER_PASSWORD, or from the file that "
        "TRANSFORMER_PASSWORD_FILE names. POSTGRES_CA or POSTGRES_CA_FILE: the certificate of the authority "
        "that the server's is from, which asks for TLS. Exit codes: 0 done, 1 failed (a retry may help), 2 a "
        "person is needed. METRICS_PUSH_URL (http://host:9091): where to push Prometheus metrics at the end. "
        "Any other dbt command: docker run --entrypoint dbt.",
    )
    flag = {"type": boolean, "nargs": "?", "const": True}
    for name, default, settings in [
        ("postgres-host", "postgres", {"help": "server of the warehouse"}),
        ("postgres-port", "5432", {"help": "its port", "type": int}),
        ("postgres-db", "airflow", {"help": "its database"}),
        ("full-refresh", "false", flag | {"help": "build the facts anew from everything in raw"}),
        ("lock-wait-seconds", "60", {"help": "how long to wait for another run to end", "type": int}),
        ("threads", "2", {"help": "models built side by side: PostgreSQL's cores", "type": int}),
        ("log-level", "info", {"help": "what is logged", "choices": ["error", "warn", "info", "debug"]}),
    ]:
        variable = ("" if name.startswith("postgres") else "DBT_") + name.upper().replace("-", "_")
        settings["help"] += f" (default {default}, variable {variable})"
        parser.add_argument(f"--{name}", default=os.environ.get(variable) or default, **settings)
    parser.add_argument("--parse-only", action="store_true", help="parse the project for later runs, and end")
    return parser.parse_args()


def boolean(word: str) -> bool:
    """Read a boolean as people and templates write it."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if word.lower() not in known:
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return known[word.lower()]


def trust_authority() -> None:
    """Ask libpq, under dbt too, for TLS with a server that POSTGRES_CA (or POSTGRES_CA_FILE) vouches for."""
    file = os.environ.get("POSTGRES_CA_FILE")
    if not file and (certificate := os.environ.get("POSTGRES_CA")):
        file = "/tmp/postgres_ca.pem"  # noqa: S108 - the only place that a job can write to, and its own
        Path(file).write_text(certificate)
    if file:
        os.environ |= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": file}


def read_password() -> str:
    """Return the password of the role transformer."""
    if file := os.environ.get("TRANSFORMER_PASSWORD_FILE"):
        try:
            return Path(file).read_text().rstrip("\n")
        except OSError as problem:
            raise Stop(PERSON_NEEDED, f"TRANSFORMER_PASSWORD_FILE: {problem}") from None
    if password := os.environ.get("TRANSFORMER_PASSWORD"):
        return password
    raise Stop(PERSON_NEEDED, "set TRANSFORMER_PASSWORD, or TRANSFORMER_PASSWORD_FILE")


def open_session(options: argparse.Namespace, password: str) -> psycopg2.extensions.connection:
    """Return a session of the role transformer, in a warehouse that is set up."""
    server = f"{options.postgres_host}:{options.postgres_port}"
    try:
        session = psycopg2.connect(
            host=options.postgres_host,
            port=options.postgres_port,
            dbname=options.postgres_db,
            user="transformer",
            password=password,
            connect_timeout=10,
            application_name="dbt lock",
            keepalives_idle=30,
        )
    except psycopg2.Error as problem:
        said = " ".join(str(problem).split())
        mended_by_a_person = (
            "authentication failed",
            "does not exist",
            "permission denied",
            # TLS: not of the authority in POSTGRES_CA, or for another name; spoken by one side alone
            "certificate",
            "does not support SSL",
            "no encryption",
        )
        wrong = any(words in said for words in mended_by_a_person)
        raise Stop(PERSON_NEEDED if wrong else FAILED, f"no session at {server}: {said}") from None
    session.autocommit = True
    with session.cursor() as cursor:
        cursor.execute("select name from unnest(%s) as name where to_regclass(name) is null", (TABLES_READ,))
        if missing := cursor.fetchone():
            raise Stop(PERSON_NEEDED, f"{server} has no table {missing[0]}: run postgres_setup.sql")
    return session


def lock(session: psycopg2.extensions.connection, wait_seconds: int) -> None:
    """Take the lock of the star, for as long as the session lives."""
    deadline = time.monotonic() + wait_seconds
    with session.cursor() as cursor:
        while True:
            cursor.execute("select pg_try_advisory_lock(%s)", (LOCK_KEY,))
            if cursor.fetchone()[0]:
                return
            if time.monotonic() >= deadline:
                raise Stop(FAILED, "another run is building the star; try again when it has ended")
            time.sleep(1)


def prepare_environment(options: argparse.Namespace, password: str) -> None:
    """Tell dbt what it reads from the environment, and where it may write."""
    os.environ |= {
        "POSTGRES_HOST": options.postgres_host,
        "POSTGRES_PORT": str(options.postgres_port),
        "POSTGRES_DB": options.postgres_db,
        # dbt hides the values of variables with this prefix
        "DBT_ENV_SECRET_TRANSFORMER_PASSWORD": password,
        "DBT_THREADS": str(options.threads),
    }
    os.environ.setdefault("DBT_TARGET_PATH", str(PARSED.parent if options.parse_only else "/tmp/dbt/target"))  # noqa: S108
    os.environ.setdefault("DBT_LOG_PATH", "/tmp/dbt/logs")  # noqa: S108


def invoke(command: str, options: argparse.Namespace, *words: str) -> Any:
    """Run a dbt command in this process and return its outcome."""
    gc.disable()  # hundreds of thousands of objects come now, and all of them stay
    from dbt.cli.main import dbtRunner  # seconds to import, so not before the options are right

    parsed = None if command == "parse" else read_parsed_project(options.postgres_db)
    gc.freeze()
    gc.enable()
    always = [f"--project-dir={PROJECT}", f"--profiles-dir={PROJECT}", "--no-use-colors"]
    always.append("--no-write-json")  # nobody reads the artifacts: the outcome is returned
    log = [f"--log-level={options.log_level}", "--log-level-file=none"]
    outcome = dbtRunner(parsed).invoke([command, *always, *log, *words])
    if isinstance(outcome.exception, KeyboardInterrupt) or stopping.is_set():
        raise KeyboardInterrupt
    if outcome.exception is not None:
        # a failure to connect is one of dbt's database errors, by its ancestry and not by its name
        kinds = [kind.__name__ for kind in type(outcome.exception).__mro__]
        code = FAILED if any("Database" in kind for kind in kinds) else PERSON_NEEDED
        raise Stop(code, f"dbt could not start: {one_line(str(outcome.exception))}")
    return outcome


def one_line(text: str) -> str:
    """Return a message as one line that fits into a list of runs."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else line[:LONGEST_MESSAGE] + " ..."


def build(options: argparse.Namespace) -> dict[str, Any]:
    """Run `dbt build` and return the summary; raise Stop when it was not all done."""
    outcome = invoke("build", options, *(["--full-refresh"] if options.full_refresh else []))
    results = outcome.result.results if outcome.result else []
    states = Counter(str(result.status) for result in results)
    broken = [result for result in results if result.status in ("error", "fail", "runtime error")]
    if broken or not outcome.success:
        kept = keep_failures(options, [result.node for result in results if result.status == "fail"])
        # a database may be better next time; a failed test or a wrong model stays as it is
        transient = bool(broken) and all("Database Error" in (result.message or "") for result in broken)
        what = "; ".join(f"{result.node.name}: {one_line(result.message or '')}" for result in broken)
        raise Stop(FAILED if transient else PERSON_NEEDED, (what or "dbt ran nothing") + kept)

    written = {
        (result.node.name, result.node.schema): result.adapter_response.get("rows_affected", 0)
        for result in results
        if result.node.resource_type in ("model", "snapshot") and result.adapter_response
    }
    # of a view nobody counts rows
    counted = {node: count for node, count in sorted(written.items()) if count is not None and count >= 0}
    tables_written.update({f"{schema}.{name}": count for (name, schema), count in counted.items()})
    rows = {name: count for (name, _), count in counted.items()}
    return {"full_refresh": options.full_refresh, "rows_written": rows, "passed": states["pass"]}


def keep_failures(options: argparse.Namespace, failed: list[Any]) -> str:
    """Store the rows that failed tests found, and say where.

    The tests run again for it: to store what every test of every run finds would make a table for each.
    """
    if not failed:
        return ""
    names = [node.name for node in failed]
    try:
        invoke("test", options, "--store-failures", "--select", *names)
    except Stop as stop:
        print(f"the rows that failed could not be stored: {stop}", file=sys.stderr)
        return ""
    tables = ", ".join(f"{FAILURES}.{node.alias}" for node in failed)
    return f"; the rows are in {tables}"


def push_metrics(code: int, seconds: float, summary: dict[str, Any]) -> None:
    """Tell the Pushgateway how the run ended, as the other tasks do; a failed one leaves the last success."""
    url = os.environ.get("METRICS_PUSH_URL")
    if not url:
        return
    gauges = {"run_exit_code": code, "run_duration_seconds": seconds}
    if code == DONE:
        gauges["last_success_timestamp_seconds"] = time.time()
    lines = []
    for name, value in gauges.items():
        lines += [f"# TYPE pipeline_{name} gauge", f'pipeline_{name}{{task="dbt"}} {value}']
    lines.append("# TYPE pipeline_rows_total counter")
    for table, count in summary.get("rows_written", {}).items():
        lines.append(f'pipeline_rows_total{{task="dbt",table="{table}"}} {count}')
    request = urllib.request.Request(  # noqa: S310
        f"{url.rstrip('/')}/metrics/job/dbt",
        data=("\n".join(lines) + "\n").encode(),
        method="PUT" if code == DONE else "POST",
    )
    try:
        urllib.request.urlopen(request, timeout=3).close()  # noqa: S310
    except OSError as problem:
        print(f"metrics could not be pushed to {request.full_url}: {problem}", file=sys.stderr)


def run(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Do the whole job; return the exit code and the summary."""
    try:
        if options.parse_only:
            prepare_environment(options, password="unused")  # noqa: S106
            invoke("parse", options)
            return DONE, {"parsed": str(PARSED)}
        trust_authority()
        password = read_password()
        with contextlib.closing(open_session(options, password)) as session:
            lock(session, options.lock_wait_seconds)
            prepare_environment(options, password)
            return DONE, build(options)
    except Stop as stop:
        return stop.code, {"error": str(stop)}
    except KeyboardInterrupt:
        return FAILED, {"error": "stopped by a signal; the next run takes up the work"}


def interrupt(*_signal: Any) -> None:
    """Make SIGTERM an interrupt: dbt then cancels its queries, and knows no other signal."""
    stopping.set()
    raise KeyboardInterrupt


def main() -> int:
    """Keep stdout for the summary alone, whatever dbt prints."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        parse_options()
    summary_out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, interrupt)
    started = time.monotonic()
    options = parse_options()
    lineage = Lineage("dbt")
    if not options.parse_only:
        lineage.start()
    code, summary = run(options)
    if "error" in summary:
        print(f"error: {summary['error']}", file=sys.stderr)
    seconds = round(time.monotonic() - started, 3)
    push_metrics(code, seconds, summary)
    if not options.parse_only:
        server = f"{options.postgres_host}:{options.postgres_port}/{options.postgres_db}"
        lineage.end(TABLES_READ, tables_written, server, summary.get("error"))
    head = {"task": "dbt", "status": STATUS[code]}
    tail = {"exit_code": code, "seconds": seconds}
    print(json.dumps(head | summary | tail), file=summary_out, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
