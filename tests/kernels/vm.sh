#!/usr/bin/env bash
# Boots a kernel in an emulator with an initial file system made of one folder, and runs /test/run in it.
#   tests/kernels/vm.sh FOLDER VERSION TREE
#     FOLDER   as tests/kernels/fetch.sh filled it     VERSION  of a kernel in there
#     TREE     the root file system, with /test/run
# Prints what /test/run prints and exits with its status; 124 = it took longer than VM_TIMEOUT seconds (240),
# 125 = the machine died; then the end of its console is on standard error.
#
# Emulation without KVM: it runs on any machine, some twenty times slower than the processor at hand.
set -euo pipefail
folder=$(readlink -f "$1") version=$2 tree=$(readlink -f "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tool() { # the machine's own program, else the unpacked one
    local found
    found=$(PATH=$PATH:/sbin:/usr/sbin command -v "$1") || found=$(ls "$folder"/tools/{,usr/}{bin,sbin}/"$1" 2>/dev/null | head -1)
    [ -n "$found" ] || { echo "error: $1 is missing; run tests/kernels/fetch.sh" >&2; exit 125; }
    echo "$found"
}
qemu=$(tool qemu-system-x86_64) cpio=$(tool cpio) kmod=$(tool kmod) busybox=$(tool busybox)
library=$folder/tools/usr/lib/x86_64-linux-gnu
libraries=$library:$folder/tools/lib/x86_64-linux-gnu

# --- what belongs to this kernel alone: modules for the disk and for filters, in the order of their dependencies
extra=$work/extra
mkdir -p "$extra"/{bin,boot,modules}
[ ! -s "$folder/root/boot/config-$version" ] || cp "$folder/root/boot/config-$version" "$extra/boot/"
cp "$busybox" "$extra/bin/busybox"
: > "$extra/modules/order"
for module in virtio_pci virtio_blk sch_ingress cls_bpf; do
    (exec -a modprobe "$kmod" -d "$folder/root" -S "$version" --show-depends "$module" 2>/dev/null) | awk '$1=="insmod"{print $2}' | while read -r path; do
        name=$(basename "$path"); name=${name%.xz}
        if [ -e "$extra/modules/$name" ]; then continue; fi
        case $path in *.xz) "$busybox" xzcat "$path" > "$extra/modules/$name" ;; *) cp "$path" "$extra/modules/$name" ;; esac
        echo "$name" >> "$extra/modules/order"
    done || true
done
cat > "$extra/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
mount -t devtmpfs d /dev; mount -t proc p /proc; mount -t sysfs s /sys; mount -t tmpfs t /tmp
mount -t tracefs t /sys/kernel/tracing; mount -t securityfs s /sys/kernel/security; mount -t bpf b /sys/fs/bpf
mount -t cgroup2 c /sys/fs/cgroup
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control; done 2>/dev/null
while read -r module; do insmod "/modules/$module" || echo "insmod $module failed"; done < /modules/order
ip link set lo up
stty -F /dev/ttyS1 raw -echo
/test/run > /dev/ttyS1 2>&1 < /dev/null
echo $? > /dev/ttyS2
poweroff -f
INIT
chmod +x "$extra/init"

# Archives one behind the other are one file system to the kernel; that of the tree is made once for all kernels.
if [ ! -e "$tree.cpio" ]; then
    mkdir -p "$tree"/{dev,proc,sys,tmp,run,root,etc,bin}
    (cd "$tree" && find . -print0 | LD_LIBRARY_PATH=$libraries "$cpio" -o0 -H newc --quiet) > "$tree.cpio"
fi
{ cat "$tree.cpio"; (cd "$extra" && find . -print0 | LD_LIBRARY_PATH=$libraries "$cpio" -o0 -H newc --quiet); } > "$work/initrd"
truncate -s 32M "$work/disk"

firmware=()
[ "${qemu#"$folder"}" = "$qemu" ] || firmware=(-L "$folder/tools/usr/share/qemu" -L "$folder/tools/usr/share/seabios")
status=0
# BPF LSM has to be named on the command line of old kernels.
LD_LIBRARY_PATH=$libraries QEMU_MODULE_DIR=$library/qemu timeout -k 2 "${VM_TIMEOUT:-240}" "$qemu" "${firmware[@]}" \
    -accel tcg,thread=multi -machine q35 -bios qboot.rom -cpu max -smp 2 -m 1536 \
    -nodefaults -display none -no-reboot -kernel "$folder/root/boot/vmlinuz-$version" -initrd "$work/initrd" \
    -drive "file=$work/disk,format=raw,if=virtio" \
    -serial "file:$work/console" -serial "file:$work/out" -serial "file:$work/status" \
    -append "console=ttyS0 quiet panic=-1 oops=panic nokaslr mitigations=off no_timer_check tsc=reliable random.trust_cpu=on audit=0 lsm=lockdown,capability,yama,bpf" \
    < /dev/null > "$work/qemu" 2>&1 || status=$?
cat "$work/out" 2>/dev/null || true
answer=$(tr -dc 0-9 < "$work/status" 2>/dev/null) || true
[ -z "$answer" ] || exit "$answer"
{ cat "$work/qemu"; tail -n 40 "$work/console"; } >&2 2>/dev/null || true
[ "$status" = 124 ] && exit 124
exit 125
