/* SPDX-License-Identifier: MIT */
/*
 * Loses huge pages by one cause, in a function of that name, and says how many: by what
 * thp_split_pmd, AnonHugePages and the call itself say.  No cowtrace code in it.
 *
 *	thploser CAUSE UNITS
 *
 * One line of JSON: "units" of 2 MiB that were lost, "split_pmd" by which the machine's
 * counter moved meanwhile (others may split too), "huge_before" and "huge_after" of ours,
 * by smaps.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (512 * PAGE)
#define NOINLINE __attribute__((noinline))

static char *mem;
static size_t units;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Each unit a VMA of its own, so that none is changed by what is done to another. */
static void map_units(void)
{
	char *p = mmap(NULL, (2 * units + 2) * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	mem = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	for (size_t i = 0; i < units; i++) {
		char *u = mem + 2 * i * HUGE;

		if (mprotect(u, HUGE, PROT_READ | PROT_WRITE) || madvise(u, HUGE, MADV_HUGEPAGE))
			fail("map a unit");
		memset(u, 1, HUGE);
	}
}

static char *unit(size_t i)
{
	return mem + 2 * i * HUGE;
}

/* KiB of AnonHugePages in what was mapped for units. */
static size_t smaps_huge(void)
{
	uint64_t from = (uintptr_t)mem, to = from + 2 * units * HUGE;
	unsigned long long start, end, kib, sum = 0;
	bool ours = false;
	char line[512];
	FILE *f = fopen("/proc/self/smaps", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			ours = start < to && end > from;
		else if (ours && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
			sum += kib;
	}
	if (!f)
		fail("smaps");
	fclose(f);
	return sum / 2048;
}

static uint64_t split_pmd(void)
{
	unsigned long long v, ret = 0;
	char key[64];
	FILE *f = fopen("/proc/vmstat", "re");

	while (f && fscanf(f, "%63s %llu", key, &v) == 2)
		if (strcmp(key, "thp_split_pmd") == 0)
			ret = v;
	if (!f)
		fail("vmstat");
	fclose(f);
	return ret;
}

/* It runs by the time this returns. */
static pid_t relative(void)
{
	int fds[2];
	char c = 0;
	pid_t pid;

	if (pipe(fds) || (pid = fork()) < 0)
		fail("fork");
	if (!pid) {
		if (write(fds[1], &c, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(fds[0], &c, 1) != 1)
		fail("the child has gone");
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Three writes in each: one splits it. */
NOINLINE static size_t write_after_fork(void)
{
	pid_t pid = relative();

	for (size_t i = 0; i < units; i++)
		for (size_t n = 0; n < 3; n++)
			((volatile char *)unit(i))[(5 + 100 * n) * PAGE] = 2;
	end(pid);
	return units;
}

/* The child loses its own; ours stay. */
NOINLINE static void write_in_child(void)
{
	for (size_t i = 0; i < units; i++)
		((volatile char *)unit(i))[5 * PAGE] = 2;
}

static size_t child_write(void)
{
	pid_t pid = fork();

	if (!pid) {
		write_in_child();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return units;
}

/* Nobody shares it any more: nothing is lost. */
NOINLINE static size_t write_alone(void)
{
	end(relative());
	for (size_t i = 0; i < units; i++)
		((volatile char *)unit(i))[5 * PAGE] = 2;
	return 0;
}

static const struct {
	const char *name;
	size_t (*lose)(void);
} causes[] = {
	{ "write_after_fork", write_after_fork },
	{ "child_write", child_write },
	{ "write_alone", write_alone },
};

int main(int argc, char **argv)
{
	uint64_t splits;
	size_t before, lost;

	units = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	for (size_t i = 0; units && i < sizeof(causes) / sizeof(*causes); i++) {
		if (strcmp(causes[i].name, argv[1]) != 0)
			continue;
		map_units();
		before = smaps_huge();
		splits = split_pmd();
		lost = causes[i].lose();
		splits = split_pmd() - splits;
		printf("{\"units\": %zu, \"split_pmd\": %llu, \"huge_before\": %zu, "
		       "\"huge_after\": %zu}\n",
		       lost, (unsigned long long)splits, before, smaps_huge());
		return 0;
	}
	fprintf(stderr, "usage: thploser CAUSE UNITS\n");
	return 2;
}
