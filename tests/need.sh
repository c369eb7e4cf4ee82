#!/bin/sh
# What the tests need beyond Python packages: mosquitto, and faketime for clocks that step. Installed through apt where
# that is allowed.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=""
command -v mosquitto >/dev/null 2>&1 || missing="mosquitto"
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$missing faketime"
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null 2>&1; then
    root=""
    [ "$(id -u)" = 0 ] || root="sudo -n"
    echo "installing" $missing "…"
    # shellcheck disable=SC2086  # one word per package
    if $root apt-get update -qq >/dev/null 2>&1 && \
       DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq $missing >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "the tests need" $missing"; install and run again:"
echo "    sudo apt-get install" $missing
exit 1
