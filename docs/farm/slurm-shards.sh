#!/bin/bash
# One build on a Slurm cluster: an array of shards, then one merge.
#
#   KERNELS=fleet.txt ARTIFACTS=/srv/farm/artifacts OUTPUT=scripts.stapb SHARDS=4 docs/farm/slurm-shards.sh
#
# ARTIFACTS is a directory that every node sees. BUILD has the other words of `stap-bundle build`: --sysroot, -c …; STAP_BUNDLE_KEY
# names the key, which only the merge reads. STAP_BUNDLE_BUILDER_KEY names one key for all nodes, which signs their results; or
# STAP_BUNDLE_BUILDERS a directory with the public keys of the nodes' builders: see README.md beside this file.
# A shard that failed is named by the merge; it runs again alone with: sbatch --array=I … (printed below).
set -euo pipefail
: "${KERNELS:?a file with one kernel release a line}" "${ARTIFACTS:?a directory that every node sees}"
SHARDS=${SHARDS:-4} OUTPUT=${OUTPUT:-scripts.stapb} BUILD=${BUILD:-} PROGRAM=${PROGRAM:-stap-bundle}
options="--kernels $KERNELS --artifacts $ARTIFACTS $BUILD"

# Exit 20 means red cells: they are results, too.
shard="$PROGRAM build --shard \$SLURM_ARRAY_TASK_ID/$SHARDS $options || test \$? = 20"
echo "one shard again: sbatch --array=I --wrap '$shard'" >&2
array=$(sbatch --parsable --array="1-$SHARDS" --output='shard-%a.log' --wrap "$shard")
# After any end: the merge says which shards are missing, and ends with 21 then.
sbatch --parsable --dependency="afterany:$array" --output='merge.log' \
    --wrap "$PROGRAM merge --shards $SHARDS $options -o $OUTPUT --replace"
