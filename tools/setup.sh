#!/usr/bin/env bash
# Installs the Debian packages that building and testing need. Quiet when all is there.
set -euo pipefail
need=(gcc qemu-system-x86 xz-utils e2fsprogs pkg-config libusb-1.0-0-dev libpcsclite-dev postgresql chromium swtpm fonts-noto-cjk fonts-wqy-microhei)
missing=()
for p in "${need[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
line="apt-get install -y --no-install-recommends ${missing[*]}"
as_root=(env)
if [ "$(id -u)" -eq 0 ]; then
  echo "setup: $line"
elif command -v sudo >/dev/null; then
  echo "setup: these packages are missing, asking sudo for: $line"
  as_root=(sudo env)
else
  echo "setup: packages are missing; run as root: $line" >&2
  exit 1
fi
# Tests start PostgreSQL servers of their own: Debian's package is not to make and start one.
conf=/etc/postgresql-common/createcluster.conf
if [[ " ${missing[*]} " == *" postgresql "* && ! -e $conf ]]; then
  "${as_root[@]}" mkdir -p "${conf%/*}"
  echo 'create_main_cluster = false' | "${as_root[@]}" tee "$conf" >/dev/null
fi
"${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
