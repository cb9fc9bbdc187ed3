"""Reads raw files as any user of DuckDB would; the last line is what it found, in JSON."""

import json
import sys

import duckdb

found = duckdb.sql(
    """
    select
        count(*) as records,
        count(distinct (parse_dirpath(filename), "offset")) as positions,
        sum(('0x' || substr(md5(coalesce(value, ''::blob)), 1, 8))::bigint)::bigint as digest
    from read_parquet($path || '/**/*.parquet', filename = true)
    """,
    params={"path": sys.argv[1]},
)
(row,) = found.fetchall()
print(json.dumps(dict(zip(found.columns, row, strict=True))))
