#!/bin/sh
# The pages that dbt makes of the models (grain, columns, tests, what is built from what) and of the tables in the warehouse,
# as one file that asks nobody for anything: on port 8081.
set -eu
made=/tmp/docs
dbt docs generate --static --no-use-colors --target-path "$made" --log-path "$made"
mkdir -p "$made/site"
mv "$made/static_index.html" "$made/site/index.html"
exec python -m http.server --directory "$made/site" 8081
