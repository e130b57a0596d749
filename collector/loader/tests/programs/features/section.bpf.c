// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// The least program there is, in the section that the compiler's command line names, with the result it names.
#define PLACED __attribute__((section(SECTION), used))

PLACED int run(void *ctx)
{
	return RESULT;
}

__attribute__((section("license"), used)) char LICENSE[] = "GPL";
