/* SPDX-License-Identifier: MIT */
/*
 * Fills memory with small blocks and frees every third one: an allocator that gives
 * memory back takes holes out of huge pages.  Prints by how much thp_split_pmd has moved
 * meanwhile.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 900
#define LEN (64UL << 10)

static char *block[BLOCKS];

static uint64_t split_pmd(void)
{
	static char text[1 << 16];
	FILE *f = fopen("/proc/vmstat", "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	const char *at;

	if (f)
		fclose(f);
	text[n] = '\0';
	at = strstr(text, "thp_split_pmd ");
	return at ? strtoull(at + strlen("thp_split_pmd "), NULL, 10) : 0;
}

__attribute__((noinline)) static void free_some(void)
{
	for (size_t i = 0; i < BLOCKS; i += 3)
		free(block[i]);
}

int main(void)
{
	uint64_t before;

	before = split_pmd();
	for (size_t i = 0; i < BLOCKS; i++) {
		block[i] = malloc(LEN);
		if (!block[i])
			return 1;
		memset(block[i], 1, LEN);
	}
	free_some();
	printf("%llu\n", (unsigned long long)(split_pmd() - before));
	return 0;
}
