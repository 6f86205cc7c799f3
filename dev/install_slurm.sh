#!/bin/sh
# Slurm for the tests of launching, where it is missing and this machine can install it (root on
# Debian or Ubuntu). It starts nothing, and a machine that has Slurm's commands is left as it is.
# Elsewhere those tests are skipped and say so.
command -v sbatch >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "Slurm is missing and cannot be installed here: its tests skip"
	exit 0
fi
# Debian's way to say that packages may not start their daemons at installation.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
packages="slurm-wlm munge slurmdbd mariadb-server-core mariadb-client-core"
if ! output=$({ apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } 2>&1)
then
	echo "$output" | tail -n 5
	echo "Slurm could not be installed: its tests skip"
fi
exit 0
