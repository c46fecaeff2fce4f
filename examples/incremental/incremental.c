/* SPDX-License-Identifier: MIT */
/*
 * Incremental backups of live memory: a base, then only what changed, in one file;
 * and the restoring of any of them.
 *
 * The file is a list of records: a head (which backup, how many bytes, their CRC) and
 * runs of pages, each its offset, its length and its bytes.
 */
#include <cowtrace/snapshot.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEN (32ul << 20)
#define BACKUPS 6

struct head {
	uint64_t number, nr_runs;
	uint32_t crc; /* of the whole heap at that time */
};

static void check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "incremental: %s: %s\n", what, cowtrace_strerror(err));
	exit(1);
}

static void put(FILE *f, const void *p, size_t len)
{
	if (fwrite(p, 1, len, f) != len)
		check(-5, "write");
}

static void get(FILE *f, void *p, size_t len)
{
	if (fread(p, 1, len, f) != len)
		check(-5, "read");
}

static void put_run(FILE *f, struct cowtrace_snapshot *s, struct cowtrace_run run)
{
	char buf[65536];

	put(f, &run, sizeof(run));
	while (run.len) {
		size_t n = run.len < sizeof(buf) ? run.len : sizeof(buf);

		check(cowtrace_snapshot_read(s, run.offset, buf, n), "read");
		put(f, buf, n);
		run.offset += n;
		run.len -= n;
	}
}

/* What differs from the snapshot before; all of it when there is none. */
static size_t backup(FILE *f, uint64_t number, struct cowtrace_snapshot *before,
		     struct cowtrace_snapshot *now)
{
	size_t max = LEN / 4096, nr = 1, next, len = 0;
	struct cowtrace_run *runs = malloc(max * sizeof(*runs));
	struct head head = { .number = number };

	runs[0] = (struct cowtrace_run){ 0, LEN };
	if (before)
		check(cowtrace_snapshot_diff(before, now, 0, runs, max, &nr, &next), "diff");
	head.nr_runs = nr;
	check(cowtrace_snapshot_crc(now, &head.crc), "crc");
	put(f, &head, sizeof(head));
	for (size_t i = 0; i < nr; i++) {
		put_run(f, now, runs[i]);
		len += runs[i].len;
	}
	free(runs);
	return len;
}

/* Plays the records up to that number; false where the CRC says that it is not right. */
static bool restore(FILE *f, uint64_t number, char *to)
{
	struct head head;

	rewind(f);
	do {
		get(f, &head, sizeof(head));
		for (uint64_t i = 0; i < head.nr_runs; i++) {
			struct cowtrace_run run;

			get(f, &run, sizeof(run));
			get(f, to + run.offset, run.len);
		}
	} while (head.number != number);
	return cowtrace_crc32c(0, to, LEN) == head.crc;
}

static atomic_bool stop;

static void *mutate(void *arg)
{
	uint64_t x = 1;

	while (!stop) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		/* Most writes go to a small part. */
		((char *)arg)[(x >> 33) % (x & 512 ? LEN : LEN / 64)] = (char)x;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	FILE *f = argc > 1 ? fopen(argv[1], "w+") : tmpfile();
	struct cowtrace_snapshot *before = NULL, *now;
	char *to = malloc(LEN), *base;
	struct cowtrace_heap *heap;
	pthread_t thread;

	if (!f || !to)
		return 1;
	check(cowtrace_heap_create(LEN, NULL, &heap), "heap");
	base = cowtrace_heap_base(heap);
	memset(base, 1, LEN);
	pthread_create(&thread, NULL, mutate, base);
	for (uint64_t i = 0; i < BACKUPS; i++) {
		check(cowtrace_snapshot_take(heap, &now), "take");
		printf("backup %lu: %zu KiB\n", (unsigned long)i, backup(f, i, before, now) / 1024);
		cowtrace_snapshot_release(before);
		before = now;
	}
	stop = true;
	pthread_join(thread, NULL);
	for (uint64_t i = 0; i < BACKUPS; i++) {
		if (!restore(f, i, to)) {
			fprintf(stderr, "incremental: backup %lu is not right\n", (unsigned long)i);
			return 1;
		}
	}
	printf("all of them can be restored\n");
	cowtrace_heap_destroy(heap);
	free(to);
	return 0;
}
