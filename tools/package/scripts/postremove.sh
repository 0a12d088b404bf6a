#!/bin/sh
# After removal. Arguments: "remove", "purge" or "upgrade" of dpkg, 0 (removal) or 1 (upgrade) of rpm. The user stays, since
# files that it owns may; what the collections have reached stays, unless dpkg purges the package.
set -e

case "$1" in
  purge) rm -rf "${DPKG_ROOT}/var/lib/otelcol-qualysvmdr" ;;
esac

if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
