#!/bin/sh
# usage: dist.sh OUT KEY
# Collects a release in OUT: what TARGET_DIR has of programs and packages, the source with its crates, and a bill of materials; and signs
# the list of their digests with KEY, a private Ed25519 key in PEM. `make dist` calls it, with VERSION, SOURCE_DATE_EPOCH and TARGETS.
set -eu

out=$1 key=$2
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=stap-bundle-$VERSION

if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    echo "dist.sh: files of this tree differ from the last commit; a release is of a commit" >&2
    exit 1
fi
rm -rf "$out"
mkdir -p "$out"
native=${TARGETS%% *}
for target in $TARGETS; do
    directory=$TARGET_DIR/host
    [ "$target" = "$native" ] || directory=$TARGET_DIR/host-$target
    install -m 755 "$directory/stap-bundle" "$out/$name-host-$target"
done
cp "$TARGET_DIR/packages"/*.deb "$TARGET_DIR/packages"/*.rpm "$out/"

# The source, with the crates of the lock file and cargo pointed at them.
git archive --prefix="$name/" HEAD | tar -x -C "$work"
(cd "$work/$name" && make --no-print-directory vendor CARGO="$CARGO" >&2)
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -C "$work" -cf - "$name" |
    xz -6 --threads=1 >"$out/$name.tar.xz"

for features in host farm,host; do
    CARGO=$CARGO packaging/notices.py --sbom "$features" "$native" >"$out/$name-${features%%,*}.cdx.json"
done
for program in host farm; do
    cp "$TARGET_DIR/$program/notices" "$out/$name-$program-THIRD-PARTY-NOTICES"
done

cd "$out"
sha256sum -- * >"$work/sums"
mv "$work/sums" SHA256SUMS
openssl pkeyutl -sign -rawin -inkey "$key" -in SHA256SUMS -out SHA256SUMS.sig
openssl pkey -in "$key" -pubout -out "$work/key.pub"
verify='openssl pkeyutl -verify -pubin -inkey KEY.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig && sha256sum -c SHA256SUMS'
printf '%s\n' "$verify" | sed "s|KEY.pub|$work/key.pub|" | sh >/dev/null
echo "$(find . -type f | wc -l) files in $out; with the public key they are verified by"
echo "  $verify"
