#!/bin/sh
# What the tests need beyond Python packages: a broker, clocks that step (faketime), a firewall, signatures made by
# another program (minisign), and what shows pages and paper. Installed through apt where that is allowed.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need mosquitto mosquitto
need nft nftables
need minisign minisign
need pdftoppm poppler-utils
need chromium chromium
need ip iproute2
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$missing faketime"
ls /usr/lib/*/libpangoft2-1.0.so.0 >/dev/null 2>&1 || missing="$missing libpangoft2-1.0-0"
ls /usr/lib/*/libharfbuzz-subset.so.0 >/dev/null 2>&1 || missing="$missing libharfbuzz-subset0"
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
