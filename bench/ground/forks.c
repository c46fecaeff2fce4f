/* SPDX-License-Identifier: MIT */
/*
 * How long fork() keeps a parent with so much memory: prints one time in ns for
 * each fork, as a JSON list.  The same program is run traced and untraced; it knows
 * of no difference.
 *
 *   forks MIB VMAS FORKS WRITES PAUSE [huge]
 *
 * MIB of private memory, in 4 KiB pages or as huge ones, and VMAS mappings more, of
 * one page each.  Each child lives while the parent writes WRITES pages (which
 * splits huge ones); from its end to the next fork PAUSE ms go by.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (512 * PAGE)

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static char *heap_make(size_t len, int huge)
{
	char *p = mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap of %zu bytes", len);
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (madvise(p, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0)
		err(1, "madvise");
	for (size_t i = 0; i < len; i += PAGE)
		p[i] = 1;
	return p;
}

/* Neighbours differ in their protection, so that the kernel keeps them apart. */
static void vmas_make(long nr)
{
	for (long i = 0; i < nr; i++) {
		char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		if (p == MAP_FAILED)
			err(1, "mmap");
		*p = 1;
		if (i % 2 && mprotect(p, PAGE, PROT_READ) < 0)
			err(1, "mprotect");
	}
}

static uint64_t fork_once(char *heap, size_t len, size_t writes)
{
	uint64_t t = now_ns();
	int end[2];
	pid_t pid;
	char b;

	if (pipe(end) < 0)
		err(1, "pipe");
	t = now_ns();
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		close(end[1]);
		_exit(read(end[0], &b, 1) != 0);
	}
	t = now_ns() - t;
	for (size_t i = 0; i < writes && len; i++)
		heap[i * 7919 * PAGE % len]++;
	close(end[0]);
	close(end[1]);
	waitpid(pid, NULL, 0);
	return t;
}

int main(int argc, char **argv)
{
	size_t len;
	char *heap = NULL;

	if (argc < 6)
		errx(2, "usage: forks MIB VMAS FORKS WRITES PAUSE [huge]");
	len = strtoul(argv[1], NULL, 10) << 20;
	if (len)
		heap = heap_make(len, argc > 6 && strcmp(argv[6], "huge") == 0);
	vmas_make(atol(argv[2]));
	printf("[");
	for (long i = 0, nr = atol(argv[3]); i < nr; i++) {
		printf("%s%lu", i ? "," : "",
		       (unsigned long)fork_once(heap, len, strtoul(argv[4], NULL, 10)));
		/* What the last child left to do is not this fork's. */
		usleep((useconds_t)strtoul(argv[5], NULL, 10) * 1000);
	}
	printf("]\n");
	return 0;
}
