#!/bin/sh
# Chromium for the tests of the report page, where it is missing and this machine can install it
# (root on Debian or Ubuntu). Elsewhere those tests are skipped and say so.
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "Chromium is missing and cannot be installed here: the tests of the report page skip"
	exit 0
fi
apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null ||
	echo "Chromium could not be installed: the tests of the report page skip"
