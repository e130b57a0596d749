#!/usr/bin/env bash
# libpcap 1.10: a pcap-ng file ends at the first interface of another link type, even if no packet belongs to it.
#
# Guess: pcap-ng was made to hold several interfaces in one file, each with its link type, so tcpdump reads a capture of `eth0`
# (Ethernet) and `tun0` (raw IP): at worst it skips packets of a type that it does not show.
# Seen: reading stops with an error at the description of the second interface. Packets before it are shown, all behind it are
# lost, those of the first interface included; an interface without any packet is enough. A writer that wants to be read by
# tcpdump writes one link type a file (or one section with one type), or describes a foreign interface last.
# Versions: Debian's tcpdump 4.99.3-1, libpcap0.8 1.10.3-1.
# Output seen:
#   tcpdump: pcap_loop: an interface has a type 101 different from the type of the first interface
#   packets shown: first 1, described between 1 of 2, described before 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get update -qq
apt-get download -qq tcpdump=4.99.3-1 libpcap0.8=1.10.3-1 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu"

python3 - <<'PY'
import struct

def block(kind, body):
    body += b"\0" * (-len(body) % 4)
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size

section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
ethernet, raw = (block(1, struct.pack("<HHI", link, 0, 0)) for link in (1, 101))
ip = bytes.fromhex("4500001c0000000040110000") + bytes([192, 0, 2, 1, 192, 0, 2, 2])
frame = bytes.fromhex("0200000000010200000000020800") + ip + struct.pack(">HHHH", 1, 2, 8, 0)
packet = block(6, struct.pack("<IIIII", 0, 0, 0, len(frame), len(frame)) + frame)
files = {
    "one": section + ethernet + packet + packet,
    "between": section + ethernet + packet + raw + packet,
    "before": section + ethernet + raw + packet + packet,
}
for name, content in files.items():
    open(f"{name}.pcapng", "wb").write(content)
PY
shown() { # file -> packets shown, and how it ended
    local status=0
    root/usr/bin/tcpdump -nr "$1.pcapng" >out 2>err || status=$?
    echo "$1: $(grep -c UDP out || true) packets, exit status $status"
    grep 'different' err || true
}
for name in one between before; do shown "$name"; done | tee seen
diff seen - <<'WANTED'
one: 2 packets, exit status 0
between: 1 packets, exit status 1
tcpdump: pcap_loop: an interface has a type 101 different from the type of the first interface
before: 0 packets, exit status 1
tcpdump: pcap_loop: an interface has a type 101 different from the type of the first interface
WANTED
echo "still so"
