#!/bin/bash
# Stand-in for debian:bookworm-slim: a minimal Debian 12 root, written as a tar to the file named in $1.
# The mirrors are the host's own: whatever its apt is configured to use, the containers use too.
# shellcheck disable=SC2016   # the single-quoted text is for apt and mmdebstrap to expand
set -euo pipefail
target=$1

mapfile -t repositories < <(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
  awk '$1 == "Debian" {
    suite = $2 ~ /-security$/ ? "bookworm-security" : $2 ~ /-updates$/ ? "bookworm-updates" : "bookworm"
    print "deb " $3 " " suite " main" }' | sort -u)
[[ ${#repositories[@]} -gt 0 ]] || {
  echo "apt knows no Debian repository: stand-in images can only be built on Debian (run apt-get update first?)" >&2
  exit 1
}
# An https mirror needs certificates inside the containers too.
extra=()
[[ ${repositories[*]} != *https://* ]] || extra=(--include=ca-certificates)

# As in Debian's slim image: no manuals, translations or documentation but the copyrights.
# man1 has to exist all the same, or the post-install script of the Java runtime fails.
mmdebstrap --quiet --format=tar --mode=root --variant=minbase "${extra[@]}" \
  --dpkgopt='force-unsafe-io' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-include=/usr/share/locale/locale.alias' --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --aptopt='Dir::Cache::pkgcache ""' --aptopt='Dir::Cache::srcpkgcache ""' \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
  --customize-hook='mkdir -p "$1"/usr/share/man/man1' \
  --customize-hook='echo "DPkg::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb\"; };" > "$1"/etc/apt/apt.conf.d/docker-clean' \
  --customize-hook='rm -f "$1"/etc/hostname && : > "$1"/etc/resolv.conf' \
  bookworm "$target.part" "${repositories[@]}"
mv "$target.part" "$target"
