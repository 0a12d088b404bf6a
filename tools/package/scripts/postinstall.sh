#!/bin/sh
# After installation and upgrade. Arguments: "configure" of dpkg, 1 (installation) or 2 (upgrade) of rpm.
# DPKG_ROOT is the root of an installation that dpkg does from outside of it, without running anything in it.
set -e

user=otelcol-qualysvmdr

case "$1" in
  configure | 1 | 2) ;;
  *) exit 0 ;;
esac

if ! grep -q "^$user:" "${DPKG_ROOT}/etc/passwd"; then
  useradd --prefix "${DPKG_ROOT}/" --system --user-group --home-dir "/var/lib/$user" --no-create-home --shell /usr/sbin/nologin "$user"
fi

# It is not started: it lacks credentials. One that runs goes on with the new version.
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl try-restart "$user.service"
fi
