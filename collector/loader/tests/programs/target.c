/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A library with a function and a static probe to watch; `main.c` of it is below. */
#ifdef LIBRARY
/* How many watch the probe; the kernel counts. */
__attribute__((section(".probes"), visibility("hidden"))) volatile unsigned short watchers;

__attribute__((noinline)) int somefunction(int first)
{
	long second = first * 100000000000L;
	void *third = 0;

	if (watchers)
		asm volatile("990: nop\n"
			     ".pushsection .note.stapsdt,\"\",\"note\"\n"
			     ".balign 4\n"
			     ".4byte 992f-991f, 994f-993f, 3\n"
			     "991: .asciz \"stapsdt\"\n"
			     "992: .balign 4\n"
			     "993: .8byte 990b, _.stapsdt.base, watchers\n"
			     ".asciz \"provider\"\n"
			     ".asciz \"probe\"\n"
			     ".asciz \"-4@%0 8@%1 8@%2 -4@%3\"\n"
			     "994: .balign 4\n"
			     ".popsection\n"
			     ".ifndef _.stapsdt.base\n"
			     ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
			     ".weak _.stapsdt.base\n"
			     ".hidden _.stapsdt.base\n"
			     "_.stapsdt.base: .space 1\n"
			     ".size _.stapsdt.base, 1\n"
			     ".popsection\n"
			     ".endif\n" ::"m"(first), "r"(second), "r"(third), "n"(-7));
	return first * 2 + (watchers ? 1 : 0);
}
#else
#include <stdio.h>

int somefunction(int first);

/* One call per line of input, its result as the answer. */
int main(void)
{
	int number;

	while (scanf("%d", &number) == 1) {
		printf("%d\n", somefunction(number));
		fflush(stdout);
	}
	return 0;
}
#endif
