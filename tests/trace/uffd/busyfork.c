/* SPDX-License-Identifier: MIT */
/*
 * Forks while threads write without a pause, and knows the copies all the same: each
 * child touches nothing and lives until every thread has been once through all of its
 * pages, so that each page is copied exactly once for each fork, by busy_write().
 *
 *   busyfork THREADS PAGES FORKS     PAGES of each thread
 *
 * Prints how many copies there were; a few of them, in the time of the clone itself,
 * nobody can see who made.
 */
#include <err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define MAX_THREADS 64

struct writer {
	pthread_t thread;
	volatile char *pages;
	size_t nr;
	_Atomic uint64_t *rounds; /* in shared memory: never copied on write */
	_Atomic uint64_t *over;
};

static __attribute__((noinline)) void busy_write(volatile char *page)
{
	page[64] = (char)(page[64] + 1);
	__asm__ volatile("" ::: "memory");
}

static void *write_on(void *arg)
{
	const struct writer *w = arg;

	while (!atomic_load(w->over)) {
		for (size_t i = 0; i < w->nr; i++)
			busy_write(w->pages + i * PAGE);
		atomic_fetch_add(w->rounds, 1);
	}
	return NULL;
}

static void *map(size_t len, int flags)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

/* One round may have begun before now: two more, and each page was written since. */
static void wait_rounds(struct writer *w, size_t nr)
{
	uint64_t from[MAX_THREADS];

	for (size_t i = 0; i < nr; i++)
		from[i] = atomic_load(w[i].rounds);
	for (size_t i = 0; i < nr; i++) {
		while (atomic_load(w[i].rounds) < from[i] + 2)
			usleep(1000);
	}
}

static void fork_once(struct writer *w, size_t nr)
{
	int end[2], status;
	pid_t pid;
	char b;

	if (pipe(end) < 0)
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		close(end[1]);
		_exit(read(end[0], &b, 1) != 0);
	}
	close(end[0]);
	wait_rounds(w, nr);
	close(end[1]);
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "a child failed");
}

int main(int argc, char **argv)
{
	size_t nr, pages, forks;
	struct writer w[MAX_THREADS];
	_Atomic uint64_t *board;

	if (argc != 4)
		errx(2, "usage: busyfork THREADS PAGES FORKS");
	nr = strtoul(argv[1], NULL, 10);
	pages = strtoul(argv[2], NULL, 10);
	forks = strtoul(argv[3], NULL, 10);
	if (nr == 0 || nr > MAX_THREADS)
		errx(2, "1 to %d threads", MAX_THREADS);
	alarm(120);
	/* A cache line each. */
	board = map((nr + 1) * 64, MAP_SHARED);
	for (size_t i = 0; i < nr; i++) {
		w[i] = (struct writer){
			.pages = map(pages * PAGE, MAP_PRIVATE),
			.nr = pages,
			.rounds = board + (i + 1) * 8,
			.over = board,
		};
		madvise((void *)w[i].pages, pages * PAGE, MADV_NOHUGEPAGE);
		if (pthread_create(&w[i].thread, NULL, write_on, &w[i]))
			errx(1, "pthread_create");
	}
	wait_rounds(w, nr);
	for (size_t i = 0; i < forks; i++)
		fork_once(w, nr);
	atomic_store(board, 1);
	for (size_t i = 0; i < nr; i++)
		pthread_join(w[i].thread, NULL);
	printf("{\"copies\": %zu, \"forks\": %zu}\n", nr * pages * forks, forks);
	return 0;
}
