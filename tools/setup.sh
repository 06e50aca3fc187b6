#!/usr/bin/env bash
# Installs the Debian packages that building and testing need. Quiet when all is there.
set -euo pipefail
need=(gcc pkg-config libusb-1.0-0-dev postgresql chromium fonts-noto-cjk fonts-wqy-microhei fuse3)
missing=()
for p in "${need[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
run=(env DEBIAN_FRONTEND=noninteractive apt-get)
line="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
  echo "setup: $line"
elif command -v sudo >/dev/null; then
  echo "setup: these packages are missing, asking sudo for: $line"
  run=(sudo "${run[@]}")
else
  echo "setup: packages are missing; run as root: $line" >&2
  exit 1
fi
# PostgreSQL's own cluster is not wanted: tests start servers of their own.
"${run[@]}" update -qq
"${run[@]}" install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
