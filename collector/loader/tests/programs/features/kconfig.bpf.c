// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// configuration values
#include "feature.h"

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_BPF_JIT __kconfig __weak;
extern int CONFIG_HZ __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig __weak;
extern bool CONFIG_THAT_NOBODY_HAS __kconfig __weak;
extern bool LINUX_HAS_BPF_COOKIE __kconfig;

RUN
{
	out[0] = LINUX_KERNEL_VERSION;
	out[1] = CONFIG_BPF_SYSCALL;
	out[2] = CONFIG_BPF_JIT;
	out[3] = CONFIG_HZ;
	out[4] = CONFIG_DEFAULT_HOSTNAME[1];
	out[5] = CONFIG_THAT_NOBODY_HAS;
	out[6] = LINUX_HAS_BPF_COOKIE;
	return 0;
}
