#!/bin/sh
# Builds what is released, the same bytes each time from the same commit and compiler:
#
#   packaging/release.sh FOLDER [ARCHITECTURE…]
#
# For each architecture (amd64 and arm64 unless given) an archive and a Debian package, with
# SHA256SUMS of all of them. `make release` runs it, with VERSION, LDFLAGS and GO of the Makefile.
# Files get the time of the commit, or SOURCE_DATE_EPOCH.
set -eu
umask 022
cd "$(dirname "$0")/.."
folder=${1:?usage: packaging/release.sh FOLDER [ARCHITECTURE…]}
shift
[ $# -gt 0 ] || set -- amd64 arm64
: "${GO:=go}" "${VERSION:=0.1.0-dev}" "${LDFLAGS:=-s -w}"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
command -v dpkg-deb >/dev/null || {
	echo "release: needs dpkg-deb (Debian package dpkg)" >&2
	exit 1
}
mkdir -p "$folder"
folder=$(realpath "$folder")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

built=
for arch; do
	name=verge-$VERSION-linux-$arch
	tree=$work/$name
	mkdir "$tree"
	GOOS=linux GOARCH=$arch CGO_ENABLED=0 "$GO" build -trimpath -buildvcs=false -ldflags "$LDFLAGS" -o "$tree/verge" ./cmd/verge
	install -m 644 LICENSE README.md CHANGELOG.md docs/service.md packaging/verge.service packaging/verge.sysusers packaging/verge.yaml "$tree"
	tar --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$work" -cf - "$name" |
		gzip -9n >"$folder/$name.tar.gz"
	deb=$(packaging/deb.sh "$tree/verge" "$arch" "$VERSION" "$folder")
	built="$built $name.tar.gz $deb"
done
cd "$folder"
# shellcheck disable=SC2086 # names without spaces
sha256sum $built >SHA256SUMS
cat SHA256SUMS
