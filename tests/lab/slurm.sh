#!/bin/bash
# usage: slurm.sh SCRATCH SCRIPT
# Runs SCRIPT, a bash script, in the current directory beside a Slurm cluster of one node: munged, slurmctld and slurmd of the Debian
# package slurm-wlm with a configuration of their own in SCRATCH, which is made, and in namespaces of their own for processes, mounts
# and network: no port can be taken, and nothing of it outlives this script, however that ends. Only root can do this.
set -euo pipefail
scratch=$(realpath "$1") script=$(realpath "$2")

die() {
    echo "slurm: error: $*" >&2
    tail -n 20 "$scratch"/*.log >&2 || true
    exit 1
}

if [[ ${3:-} != inside ]]; then
    for program in munged slurmctld slurmd sbatch squeue scontrol; do
        PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || die "no $program: the Debian package slurm-wlm has it (tests/packages.sh)"
    done
    exec unshare --mount --net --pid --uts --fork --kill-child --propagation private bash "$0" "$scratch" "$script" inside
fi
export PATH=$PATH:/usr/sbin
mount -t proc proc /proc
ip link set lo up
# With loopback's usual address alone, the resolver takes a machine to have no IPv4 (AI_ADDRCONFIG), and the daemons bind nothing.
ip address add 192.0.2.1/32 dev lo
hostname node
mkdir -p "$scratch/state" "$scratch/spool"
echo '127.0.0.1 localhost node' >"$scratch/hosts"
mount --bind "$scratch/hosts" /etc/hosts
(umask 077 && head -c 128 /dev/urandom >"$scratch/munge.key")
# Daemons of Debian's packages may not run as root by their units; here everything belongs to the one user of the namespaces.
# More CPUs than the machine may have: all shards are at work at once. A loaded machine answers late, and is not down.
cat >"$scratch/slurm.conf" <<END
ClusterName=shards
SlurmctldHost=node(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$scratch/munge.socket
CredType=cred/munge
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/spool
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.pid
SlurmctldLogFile=$scratch/slurmctld.log
SlurmdLogFile=$scratch/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MessageTimeout=100
SlurmdTimeout=0
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
NodeName=node NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=shards Nodes=node Default=YES MaxTime=INFINITE State=UP
END
# Nothing here uses control groups, and the plugin for version 1 alone loads where there are none.
echo 'CgroupPlugin=cgroup/v1' >"$scratch/cgroup.conf"
export SLURM_CONF=$scratch/slurm.conf

munged --force --key-file="$scratch/munge.key" --socket="$scratch/munge.socket" --pid-file="$scratch/munge.pid" \
    --log-file="$scratch/munge.log" --seed-file="$scratch/munge.seed" >"$scratch/start.log" 2>&1 || die "munged doesn't start"
slurmctld >>"$scratch/start.log" 2>&1 || die "slurmctld doesn't start"
slurmd -N node >>"$scratch/start.log" 2>&1 || die "slurmd doesn't start"
# A daemon that has gone without removing the file with its number.
is_dead() { [[ -s $1 ]] && ! kill -0 "$(cat "$1")" 2>/dev/null; }
# Minutes, for a loaded machine.
for _ in $(seq 600); do
    state=$(sinfo --noheader --format=%T 2>/dev/null || true)
    [[ $state != idle ]] || break
    ! is_dead "$scratch/slurmctld.pid" || die "slurmctld has ended"
    ! is_dead "$scratch/slurmd.pid" || die "slurmd has ended"
    sleep 0.2
done
[[ $state == idle ]] || die "the node is ${state:-unknown} and not idle"
# Waits until no job is queued or at work.
all_ended() {
    local left
    while left=$(squeue --noheader --format=%i) && [[ -n $left ]]; do sleep 0.3; done
    [[ -z $left ]] || die "squeue fails"
}
# shellcheck source=/dev/null
source "$script"
