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
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (512 * PAGE)
#define NOINLINE __attribute__((noinline))

static char *mem;
static size_t units;

/* 77: this kernel is built without it. */
static void fail(const char *what)
{
	int lacks = errno == EINVAL || errno == ENOSYS;

	perror(what);
	exit(lacks ? 77 : 1);
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

	if (pipe(fds))
		fail("pipe");
	pid = fork();
	if (pid < 0)
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

/* A call on a part of each unit, in a function of its own. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define PART (16 * PAGE)
#define EACH(function, call)                         \
	NOINLINE static size_t function(void)        \
	{                                            \
		for (size_t i = 0; i < units; i++) { \
			char *u = unit(i);           \
                                                     \
			if (call)                    \
				fail(#function);     \
		}                                    \
		return units;                        \
	}

/* A range that begins and ends in units that it takes a part of. */
static char *elsewhere(void)
{
	char *p = mmap(NULL, 3 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
}

EACH(lose_munmap, munmap(u + PART, PART))
EACH(lose_munmap_head, munmap(u, PART))
EACH(lose_mmap,
     mmap(u + PART, PART, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
EACH(lose_dontneed, madvise(u + PART, PART, MADV_DONTNEED))
EACH(lose_free, madvise(u + PART, PART, MADV_FREE))
EACH(lose_cold, madvise(u + PART, PART, MADV_COLD))
EACH(lose_pageout, madvise(u + PART, PART, MADV_PAGEOUT))
EACH(lose_nohugepage, madvise(u + PART, PART, MADV_NOHUGEPAGE))
EACH(lose_dontfork, madvise(u + PART, PART, MADV_DONTFORK))
EACH(lose_mergeable, madvise(u + PART, PART, MADV_MERGEABLE))
EACH(lose_random, posix_madvise(u + PART, PART, POSIX_MADV_RANDOM))
EACH(lose_mprotect, mprotect(u + PART, PART, PROT_READ))
EACH(lose_mlock, mlock(u + PART, PART))
EACH(lose_mremap,
     mremap(u, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere() + PART) == MAP_FAILED)
EACH(lose_mremap_part,
     mremap(u + PART, PART, PART, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere()) == MAP_FAILED)
EACH(lose_shrink, mremap(u, HUGE, HUGE - PART, 0) == MAP_FAILED)
EACH(lose_over,
     mremap(elsewhere(), PART, PART, MREMAP_MAYMOVE | MREMAP_FIXED, u + PART) == MAP_FAILED)

static long bind_node(void *addr, size_t len)
{
	unsigned long node = 1;
	long (*call)(void *, unsigned long, int, const unsigned long *, unsigned long, unsigned) =
		dlsym(RTLD_DEFAULT, "mbind");

	/* libnuma's or the preload's: without both there is none to call. */
	return call ? call(addr, len, 1 /* MPOL_PREFERRED */, &node, 64, 0)
		    : syscall(SYS_mbind, addr, len, 1, &node, 64UL, 0UL);
}

EACH(lose_name, prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, u + PART, PART, "a part"))
EACH(lose_mbind, bind_node(u + PART, PART))

/* Locked by the whole first: nothing is lost until a part is let go. */
NOINLINE static size_t lose_munlock(void)
{
	for (size_t i = 0; i < units; i++)
		if (mlock(unit(i), HUGE) || munlock(unit(i) + PART, PART))
			fail("mlock");
	return units;
}

/* Whole units, or what changes nothing, or is refused: nothing is lost. */
static size_t lose_nothing(void)
{
	for (size_t i = 0; i < units; i++) {
		char *u = unit(i);

		/* A huge page that somebody shares is passed over by MADV_FREE. */
		if (mprotect(u, HUGE, PROT_READ) || mprotect(u, HUGE, PROT_READ | PROT_WRITE) ||
		    madvise(u + PART, PART, MADV_HUGEPAGE) || madvise(u, HUGE, MADV_DONTFORK) ||
		    madvise(u, HUGE, MADV_DOFORK) || madvise(u, HUGE, MADV_FREE) ||
		    madvise(u + PART, PART, MADV_WILLNEED) || !munmap(u + 1, PART) ||
		    !madvise(u + PART, PART, 12345) ||
		    mremap(u, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere()) == MAP_FAILED)
			fail("lose_nothing");
	}
	return 0;
}

static const struct {
	const char *name;
	size_t (*lose)(void);
} causes[] = {
	{ "write_after_fork", write_after_fork },
	{ "child_write", child_write },
	{ "write_alone", write_alone },
	{ "munmap", lose_munmap },
	{ "munmap_head", lose_munmap_head },
	{ "mmap", lose_mmap },
	{ "dontneed", lose_dontneed },
	{ "free", lose_free },
	{ "cold", lose_cold },
	{ "pageout", lose_pageout },
	{ "nohugepage", lose_nohugepage },
	{ "dontfork", lose_dontfork },
	{ "mergeable", lose_mergeable },
	{ "random", lose_random },
	{ "mprotect", lose_mprotect },
	{ "mlock", lose_mlock },
	{ "munlock", lose_munlock },
	{ "mremap", lose_mremap },
	{ "mremap_part", lose_mremap_part },
	{ "shrink", lose_shrink },
	{ "over", lose_over },
	{ "name", lose_name },
	{ "mbind", lose_mbind },
	{ "nothing", lose_nothing },
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
