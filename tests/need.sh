#!/bin/sh
# What the tests need beyond Python packages: mosquitto. Installed through apt where that is allowed.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin"
command -v mosquitto >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1; then
    root=""
    [ "$(id -u)" = 0 ] || root="sudo -n"
    echo "installing mosquitto …"
    if $root apt-get update -qq >/dev/null 2>&1 && \
       DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq mosquitto >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "the tests need the MQTT broker mosquitto; install it and run again:"
echo "    sudo apt-get install mosquitto"
exit 1
