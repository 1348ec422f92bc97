#!/bin/sh
# Builds the Debian package of a program, and prints the name of its file:
#
#   packaging/deb.sh PROGRAM ARCHITECTURE VERSION FOLDER
#
# Files get the time SOURCE_DATE_EPOCH. release.sh runs it.
set -eu
umask 022
program=$1 arch=$2 folder=$4
packaging=$(dirname "$0")

# A version of git describe becomes one that Debian orders as it is meant: v1.2.0-rc.1 before
# 1.2.0, v1.2.0-5-gcf75eec after it, and a commit without a tag before 0.1.0.
version=$(printf %s "${3#v}" | sed -E 's/-(dev|alpha|beta|rc)/~\1/; s/[^A-Za-z0-9.~]/+/g')
case $version in
[0-9]*.[0-9]*) ;;
*) version=0.1.0~git.$version ;;
esac

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
put() { # MODE FILE PATH
	install -D -m "$1" "$2" "$tree/$3"
}
put 755 "$program" usr/bin/verge
put 644 "$packaging/verge.service" usr/lib/systemd/system/verge.service
put 644 "$packaging/verge.sysusers" usr/lib/sysusers.d/verge.conf
put 644 "$packaging/verge.yaml" etc/verge/verge.yaml
put 644 "$packaging/../LICENSE" usr/share/doc/verge/copyright
put 644 "$packaging/../docs/service.md" usr/share/doc/verge/service.md
size=$(du -sk --apparent-size "$tree" | cut -f1)
for script in postinst prerm postrm; do
	put 755 "$packaging/deb/$script" DEBIAN/$script
done
echo /etc/verge/verge.yaml >"$tree/DEBIAN/conffiles"
cat >"$tree/DEBIAN/control" <<END
Package: verge
Version: $version
Architecture: $arch
Maintainer: The Verge authors <verge@localhost>
Installed-Size: $size
Depends: init-system-helpers, libc6 (>= 2.17), passwd
Recommends: libstdc++6, systemd
Suggests: npm, python3-pip
Section: utils
Priority: optional
Description: deploys and serves AI models on an edge device
 Verge takes an AI model from a file to gated, watched, isolated serving on one
 device. The package runs its node as a service; members of the group verge
 may deploy. Inference libraries come by "verge runtime install".
END
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
name=verge_${version}_$arch.deb
# One thread and one compression, so that the bytes are the same everywhere.
DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group -Zxz --build "$tree" "$folder/$name" >/dev/null
echo "$name"
