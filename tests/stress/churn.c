/* SPDX-License-Identifier: MIT */
/*
 * A program that forks, maps, moves and writes without pause, and that notices
 * when anything goes otherwise than it must: the host for tests that stop or
 * kill the recorder, the program or a child at random instants.
 *
 * usage: churn MS RESULT
 *
 * Writes "started" to RESULT at once, and "ok FORKS" at the end.  A child that
 * was killed by SIGKILL is nobody's fault.  Whatever else is wrong is written
 * to RESULT instead.  Invariant: every page holds what its owner wrote last.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define NR_PAGES 256UL
#define NR_WRITERS 2

static const char *result_path;
static _Atomic bool over;
static _Atomic unsigned long *nr_forks; /* shared by all processes */
static unsigned char *area;

static void result(const char *text, unsigned long nr)
{
	char line[128];
	int len = snprintf(line, sizeof(line), "%s %lu\n", text, nr);
	int fd = open(result_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0 || write(fd, line, (size_t)len) != len)
		_exit(4);
	close(fd);
}

static void wrong(const char *what)
{
	result(what, (unsigned long)errno);
	_exit(3);
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Writes its number into its share of the area's pages, and finds it there again. */
static void *writer(void *arg)
{
	unsigned long me = (unsigned long)arg;

	for (unsigned long round = 0; !atomic_load(&over); round++) {
		for (unsigned long i = me; i < NR_PAGES / 2; i += NR_WRITERS) {
			volatile unsigned long *p = (volatile unsigned long *)(area + i * PAGE);

			*p = round;
			if (*p != round)
				wrong("a thread's write was lost");
		}
	}
	return NULL;
}

/* The second half is written by the main thread only: a child must see it as it was. */
static void stamp(unsigned char byte)
{
	memset(area + NR_PAGES / 2 * PAGE, byte, NR_PAGES / 2 * PAGE);
}

static void expect(unsigned char byte)
{
	for (unsigned long i = NR_PAGES / 2; i < NR_PAGES; i++) {
		if (area[i * PAGE] != byte || area[i * PAGE + PAGE - 1] != byte)
			wrong("a page does not hold what was written");
	}
}

static void map_and_move(void)
{
	size_t len = 16 * PAGE;
	unsigned char *p =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		wrong("mmap");
	memset(p, 7, len);
	p = mremap(p, len, 2 * len, MREMAP_MAYMOVE);
	if (p == MAP_FAILED || p[len - 1] != 7 || p[len] != 0)
		wrong("mremap");
	if (madvise(p, len, MADV_DONTNEED) || p[0] != 0 || munmap(p, 2 * len))
		wrong("madvise or munmap");
}

static void reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			wrong("waitpid");
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 5)
		wrong("a child ended otherwise");
}

static void live(unsigned char byte)
{
	expect(byte);
	stamp((unsigned char)(byte + 1));
	map_and_move();
}

/* A child's life; `depth` generations live below it, each like itself. */
static void child(unsigned char byte, int depth)
{
	pid_t pid = 0;

	live(byte);
	while (depth-- > 0 && !pid) {
		pid = fork();
		if (pid < 0)
			wrong("fork in a child");
		if (!pid)
			live(++byte);
		else
			atomic_fetch_add(nr_forks, 1);
	}
	if (pid)
		reap(pid);
	expect((unsigned char)(byte + 1));
	if (byte & 1)
		exit(5);
	_exit(5);
}

static void forks(long end)
{
	for (unsigned char byte = 0; now_ms() < end; byte++) {
		pid_t pids[2];

		stamp(byte);
		for (int i = 0; i < 2; i++) {
			pids[i] = fork();
			if (pids[i] < 0)
				wrong("fork");
			if (!pids[i])
				child(byte, i);
			atomic_fetch_add(nr_forks, 1);
		}
		map_and_move();
		for (int i = 0; i < 2; i++)
			reap(pids[i]);
		expect(byte);
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[NR_WRITERS];

	if (argc != 3)
		return 2;
	result_path = argv[2];
	nr_forks = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	area = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (nr_forks == MAP_FAILED || area == MAP_FAILED)
		wrong("mmap");
	result("started", 0);
	for (unsigned long i = 0; i < NR_WRITERS; i++) {
		if (pthread_create(&threads[i], NULL, writer, (void *)i))
			wrong("pthread_create");
	}
	forks(now_ms() + atol(argv[1]));
	atomic_store(&over, true);
	for (int i = 0; i < NR_WRITERS; i++)
		pthread_join(threads[i], NULL);
	result("ok", atomic_load(nr_forks));
	return 0;
}
