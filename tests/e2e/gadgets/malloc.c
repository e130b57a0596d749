/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls each function that trace_malloc knows and then prints what the records
 * must say: operation, address, size. Nothing is allocated for printing.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static char text[4096];
static size_t length;

static void expect(const char *operation, void *addr, size_t size)
{
	length += (size_t)snprintf(text + length, sizeof(text) - length, "%s %llu %llu\n", operation,
				   (unsigned long long)(uintptr_t)addr, (unsigned long long)size);
}

/* Two names may be one function. */
static const char *name_of_memalign(void)
{
	return (void *)memalign == (void *)aligned_alloc ? "aligned_alloc" : "memalign";
}

static void give_back(void *block)
{
	expect("free", block, 0);
	free(block);
}

int main(void)
{
	volatile size_t huge = (size_t)1 << 40;
	void *block = malloc(12345), *moved;

	expect("malloc", block, 12345);
	moved = realloc(block, 23456);
	expect("realloc_free", block, 0);
	expect("realloc", moved, 23456);
	give_back(moved);

	block = calloc(7, 1001);
	expect("calloc", block, 7007);
	give_back(block);
	/* The product has no place in 64 bits. */
	expect("calloc", calloc(huge, huge), SIZE_MAX);

	block = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect("mmap", block, 8192);
	munmap(block, 8192);
	expect("munmap", block, 8192);

	if (posix_memalign(&block, 64, 5000))
		return 1;
	expect("posix_memalign", block, 5000);
	give_back(block);
	block = aligned_alloc(64, 6400);
	expect("aligned_alloc", block, 6400);
	give_back(block);
	block = memalign(32, 8008);
	expect(name_of_memalign(), block, 8008);
	give_back(block);
	block = valloc(7070);
	expect("valloc", block, 7070);
	give_back(block);
	block = pvalloc(9009);
	expect("pvalloc", block, 9009);
	give_back(block);

	/* Beyond the threshold, malloc contains a mmap. */
	block = malloc(3000000);
	expect("malloc", block, 3000000);
	give_back(block);

	return write(STDOUT_FILENO, text, length) != (ssize_t)length;
}
