/* SPDX-License-Identifier: MIT */
/*
 * Drives the fuzz entry without a fuzzer: `mutate TRACE COUNT [SEED]` gives it
 * the trace with bytes changed, blocks moved, or its end cut, COUNT times.  The
 * seed is printed, and the last input kept, so that a crash can be repeated.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"

static uint8_t *read_all(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "r");
	uint8_t *bytes;

	if (!f || fseek(f, 0, SEEK_END))
		err(1, "%s", path);
	*ret_len = (size_t)ftell(f);
	rewind(f);
	bytes = malloc(*ret_len);
	if (!bytes || fread(bytes, 1, *ret_len, f) != *ret_len)
		err(1, "%s", path);
	fclose(f);
	return bytes;
}

static size_t below(size_t n)
{
	return (size_t)random() % n;
}

/* Values that upset arithmetic more often than random ones. */
static uint8_t nasty_byte(void)
{
	static const uint8_t nasty[] = { 0, 1, 0x7f, 0x80, 0xff };

	return random() & 1 ? nasty[below(sizeof(nasty))] : (uint8_t)random();
}

static size_t mutate(uint8_t *bytes, size_t len)
{
	/* Past the header: before that everything is refused at once. */
	switch (below(8)) {
	case 0:
		return 1 + below(len);
	case 1: {
		size_t n = 1 + below(4096), from = below(len - n), to = 100 + below(len - n - 100);

		memmove(bytes + to, bytes + from, n);
		return len;
	}
	default:
		for (size_t i = 0, n = 1 + below(16); i < n; i++)
			bytes[100 + below(len - 100)] = nasty_byte();
		return len;
	}
}

int main(int argc, char **argv)
{
	unsigned int seed = argc > 3 ? (unsigned int)atoi(argv[3]) : (unsigned int)time(NULL);
	uint8_t *good, *bytes;
	size_t len;

	if (argc < 3)
		errx(2, "usage: mutate TRACE COUNT [SEED]");
	good = read_all(argv[1], &len);
	if (len < 8192)
		errx(1, "%s is too short to be changed", argv[1]);
	bytes = malloc(len);
	if (!bytes)
		err(1, "memory");
	printf("seed %u\n", seed);
	fflush(stdout);
	srandom(seed);
	for (int i = 0; i < atoi(argv[2]); i++) {
		memcpy(bytes, good, len);
		LLVMFuzzerTestOneInput(bytes, mutate(bytes, len));
	}
	free(bytes);
	free(good);
	return 0;
}
