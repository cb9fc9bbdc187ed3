# shellcheck shell=bash
# Sourced first by what needs images: steps are there, the engine runs, .env is read, every image is built.
here=$(dirname "$0")
source "$here/steps.sh"
"$here/engine.sh"
source "$here/settings.sh"
"$here/images.sh"
