#!/usr/bin/env bash
# Fetches an emulator and Debian's kernels and unpacks them; installs nothing and needs no root.
#   tests/kernels/fetch.sh FOLDER RELEASE…     RELEASE: 6.1, 6.12, 5.10, 6.18, …, or "newest"
# Prints "RELEASE VERSION" for each kernel that is there afterwards; exits 1 if one could not be had, and says which.
#
# 6.1 and 6.12 come from the machine's own package sources. For the others a private view of the same mirror is made,
# with more suites of Debian in it; its lists are verified with Debian's keyring like the machine's own.
set -euo pipefail
folder=$1; shift
mkdir -p "$folder"/{debs,tools,root,apt/lists/partial,apt/cache/archives/partial}
folder=$(readlink -f "$folder")

fail() { echo "error: $*" >&2; exit 1; }
[ "$(dpkg --print-architecture)" = amd64 ] || fail "the kernel matrix runs on amd64 only, this is $(dpkg --print-architecture)"

# A bare machine has no package lists yet.
apt-cache show qemu-system-x86 >/dev/null 2>&1 || apt-get -q -o DPkg::Lock::Timeout=600 update >&2 || fail "the package lists cannot be had"

# --- the emulator, and what makes an initial file system
# Unpacked instead of installed: installing it can take other packages away.
tools=(qemu-system-x86 kmod cpio busybox-static)
if [ ! -e "$folder/tools/complete" ]; then
    # The simulation names what is missing here, dependencies included.
    missing=$(apt-get -s install --no-install-recommends "${tools[@]}" 2>/dev/null | awk '/^Inst /{print $2}') || true
    [ -n "$missing" ] || missing=${tools[*]}
    echo "fetching the emulator: $(wc -w <<<"$missing") packages" >&2
    # shellcheck disable=SC2086
    (cd "$folder/debs" && apt-get -q -o APT::Sandbox::User=root download $missing >&2) || fail "the emulator's packages cannot be downloaded"
    for deb in "$folder"/debs/*.deb; do dpkg-deb -x "$deb" "$folder/tools"; done
    rm -f "$folder"/debs/*.deb
    touch "$folder/tools/complete"
fi

# --- kernels
apt_private=()
private_view() {
    [ ${#apt_private[@]} = 0 ] || return 0
    local apt=$folder/apt key=/usr/share/keyrings/debian-archive-keyring.gpg main security suite
    main=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian|Debian|//p' | sort -u | head -1)
    security=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian|Debian-Security|//p' | sort -u | head -1)
    [ -n "$main" ] && [ -n "$security" ] || fail "the machine's package sources name no Debian mirror (run apt-get update)"
    {
        for suite in trixie trixie-backports sid; do echo "deb [signed-by=$key] $main $suite main"; done
        for suite in bullseye-security trixie-security; do echo "deb [signed-by=$key] $security $suite main"; done
    } > "$apt/sources.list"
    apt_private=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
        -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
    apt-get -q "${apt_private[@]}" update >&2 || fail "the package lists of other Debian suites cannot be had"
}

# Versions of the cloud flavour, oldest first; release candidates are not for us.
versions() {
    apt-cache "$@" search --names-only '^linux-(image|binary)-[0-9].*-cloud-amd64$' | awk '{print $1}' \
        | sed -n 's/^linux-\(image\|binary\)-\(.*\)$/\2/p' | grep -E '^[0-9]+\.[0-9]+\.[0-9]' | grep -v -e rc -e dbg | sort -Vu
}

status=0
for release in "$@"; do
    have=$(ls "$folder/root/boot" 2>/dev/null | sed -n 's/^vmlinuz-//p' | grep "^${release//./\\.}\." | sort -V | tail -1) || true
    # Fetched before configurations were kept.
    [ -e "$folder/root/boot/config-$have" ] || have=
    if [ -z "$have" ] || [ "$release" = newest ]; then
        view=()
        version=$(versions | grep "^${release//./\\.}\." | tail -1) || true
        if [ -z "$version" ]; then
            private_view
            view=("${apt_private[@]}")
            if [ "$release" = newest ]; then version=$(versions "${view[@]}" | tail -1)
            else version=$(versions "${view[@]}" | grep "^${release//./\\.}\." | tail -1) || true; fi
        fi
        [ -n "$version" ] || { echo "error: no Debian suite at hand has a kernel $release" >&2; status=1; continue; }
        if [ ! -e "$folder/root/boot/config-$version" ]; then
            # From 7 on the image is split in two packages.
            packages=$(for name in image binary modules; do
                apt-cache "${view[@]}" show "linux-$name-$version" 2>/dev/null | sed -n 's/^Package: //p' || true; done | sort -u)
            echo "fetching kernel $version" >&2
            # shellcheck disable=SC2086
            if ! (cd "$folder/debs" && apt-get -q -o APT::Sandbox::User=root "${view[@]}" download $packages >&2); then
                echo "error: kernel $version cannot be downloaded" >&2; status=1; continue
            fi
            for deb in "$folder"/debs/*.deb; do dpkg-deb -x "$deb" "$folder/unpack"; done
            rm -f "$folder"/debs/*.deb
            mkdir -p "$folder/root/boot" "$folder/root/lib/modules"
            for modules in "$folder"/unpack/lib/modules/* "$folder"/unpack/usr/lib/modules/*; do
                [ ! -d "$modules" ] || { rm -rf "$folder/root/lib/modules/${modules##*/}"; mv "$modules" "$folder/root/lib/modules/"; }
            done
            # The unpacked kmod is one program under many names.
            kmod=$folder/tools/bin/kmod
            [ -e "$kmod" ] || kmod=$(command -v kmod)
            (exec -a depmod "$kmod" -b "$folder/root" "$version")
            image=$folder/unpack/boot/vmlinuz-$version
            [ -e "$image" ] || image=$folder/root/lib/modules/$version/vmlinuz
            cp "$image" "$folder/root/boot/vmlinuz-$version"
            # Last: it says that all of the kernel is there. From 7 on it is in no package and stays empty here.
            configuration=$folder/unpack/boot/config-$version
            [ -e "$configuration" ] || configuration=/dev/null
            cat "$configuration" > "$folder/root/boot/config-$version"
            rm -rf "$folder/unpack"
        fi
        have=$version
    fi
    echo "$release $have"
done
exit $status
