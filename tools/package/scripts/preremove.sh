#!/bin/sh
# Before removal and upgrade. Arguments: "remove" or "upgrade" of dpkg, 0 (removal) or 1 (upgrade) of rpm.
set -e

case "$1" in
  remove | 0)
    if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
      systemctl disable --now otelcol-qualysvmdr.service
    fi
    ;;
esac
