#!/bin/bash
# As in the official image: a command of Airflow unless the first word is a program to run.
set -euo pipefail
case ${1:-} in
  airflow | bash | python) exec "$@" ;;
  *) exec airflow "$@" ;;
esac
