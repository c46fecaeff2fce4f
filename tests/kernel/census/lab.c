/* SPDX-License-Identifier: MIT */
/*
 * Helpers of the kernel programs: pagemap, kpage*, a child that obeys, settings.
 * Invariant: whatever cannot be done ends the program with a line that says why.
 */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SYSFS_LOCK "/tmp/cowtrace-sysfs.lock"

/* Runs of a program whose pages were moved by somebody else meanwhile. */
#define NR_TRIES 5
#define ENV_TRY "LAB_TRY"

static int failures;
static uint64_t moved_before;

void lab_check(bool ok, const char *file, int line, const char *fmt, ...)
{
	const char *slash = strrchr(file, '/');
	va_list ap;

	if (ok)
		return;
	failures++;
	printf("FAILED %s:%d: ", slash ? slash + 1 : file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* Whatever gives pages other PFNs behind a program's back. */
static uint64_t moved(void)
{
	return lab_vmstat("pgmigrate_success") + lab_vmstat("pswpout") +
	       lab_vmstat("thp_collapse_alloc");
}

/* Starts the program from the beginning, in the same process. */
static void try_again(int try)
{
	static char cmdline[4096], *argv[64];
	char number[16];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC), nr = 0;
	ssize_t n = read(fd, cmdline, sizeof(cmdline) - 1);

	for (char *p = cmdline; n > 0 && p < cmdline + n && nr < 63; p += strlen(p) + 1)
		argv[nr++] = p;
	snprintf(number, sizeof(number), "%d", try);
	setenv(ENV_TRY, number, 1);
	printf("the system moved pages meanwhile (migration, swap, collapse): again\n");
	fflush(stdout);
	execv("/proc/self/exe", argv);
}

int lab_result(void)
{
	int try = getenv(ENV_TRY) ? atoi(getenv(ENV_TRY)) : 1;

	if (failures && moved_before && moved() != moved_before && try < NR_TRIES)
		try_again(try + 1);
	printf(failures ? "NOT SO: %d checks failed\n" : "so it is\n", failures);
	return failures ? 1 : 0;
}

void lab_skip(const char *fmt, ...)
{
	va_list ap;

	printf("SKIP: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(77);
}

void lab_die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	printf("cannot run: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (%s)\n", strerror(err));
	fflush(stdout);
	_exit(1);
}

void lab_need_pfns(void)
{
	char *p = lab_map(1);
	int fd = lab_pagemap(0);

	*p = 1;
	if (!lab_pfn(fd, p) || access("/proc/kpagecount", R_OK) < 0)
		lab_skip("PFNs are not shown to this user (run as root, outside a container)");
	close(fd);
	munmap(p, PAGE);
	moved_before = moved() ? moved() : 1;
}

int lab_pagemap(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)(pid ? pid : getpid()));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		lab_die("open %s", path);
	return fd;
}

void lab_entries(int pagemap, const volatile void *addr, size_t nr, uint64_t *ret)
{
	off_t at = (off_t)((uintptr_t)addr / PAGE * sizeof(*ret));

	if (pread(pagemap, ret, nr * sizeof(*ret), at) != (ssize_t)(nr * sizeof(*ret)))
		lab_die("pagemap at %p", (void *)addr);
}

uint64_t lab_entry(int pagemap, const volatile void *addr)
{
	uint64_t e;

	lab_entries(pagemap, addr, 1, &e);
	return e;
}

uint64_t lab_pfn(int pagemap, const volatile void *addr)
{
	uint64_t e = lab_entry(pagemap, addr);

	return e & PM_PRESENT ? e & PM_PFN : 0;
}

static uint64_t kpage(const char *path, uint64_t pfn)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t v;

	if (fd < 0 || pread(fd, &v, sizeof(v), (off_t)(pfn * sizeof(v))) != sizeof(v))
		lab_die("%s of %#lx", path, (unsigned long)pfn);
	close(fd);
	return v;
}

uint64_t lab_kflags(uint64_t pfn)
{
	return kpage("/proc/kpageflags", pfn);
}

uint64_t lab_kcount(uint64_t pfn)
{
	return kpage("/proc/kpagecount", pfn);
}

static char *map(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		lab_die("mmap of %zu", len);
	return p;
}

char *lab_map(size_t nr_pages)
{
	char *p = map(nr_pages * PAGE);

	if (madvise(p, nr_pages * PAGE, MADV_NOHUGEPAGE) < 0 && errno != EINVAL)
		lab_die("MADV_NOHUGEPAGE");
	return p;
}

char *lab_map_huge(size_t nr_units)
{
	char *p = map((nr_units + 1) * HUGE);

	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (madvise(p, nr_units * HUGE, MADV_HUGEPAGE) < 0)
		lab_skip("no transparent huge pages in this kernel");
	return p;
}

void lab_fill(char *p, size_t nr_pages, char value)
{
	for (size_t i = 0; i < nr_pages; i++)
		p[i * PAGE] = value;
}

void lab_drain(void)
{
	char *p = map(PAGE);
	void *page = p;
	int node = 0, status;

	/* With nodes given the kernel drains every CPU's batches first. */
	*p = 1;
	syscall(SYS_move_pages, 0, 1UL, &page, &node, &status, 2 /* MPOL_MF_MOVE */);
	munmap(p, PAGE);
}

struct lab_child lab_child_start(void (*step)(int n))
{
	struct lab_child c;
	int sv[2];
	char b;

	fflush(stdout);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		lab_die("socketpair");
	c.pid = fork();
	if (c.pid < 0)
		lab_die("fork");
	if (c.pid == 0) {
		close(sv[0]);
		for (int n = 0; read(sv[1], &b, 1) == 1; n++) {
			step(n);
			if (write(sv[1], &b, 1) != 1)
				break;
		}
		_exit(0);
	}
	close(sv[1]);
	c.sock = sv[0];
	c.pagemap = lab_pagemap(c.pid);
	return c;
}

void lab_child_step(struct lab_child *c)
{
	char b = 1;

	if (write(c->sock, &b, 1) != 1 || read(c->sock, &b, 1) != 1)
		lab_die("the child has gone");
}

int lab_child_end(struct lab_child *c)
{
	int status = -1;

	close(c->sock);
	waitpid(c->pid, &status, 0);
	close(c->pagemap);
	return status;
}

void lab_sysfs_lock(void)
{
	int fd = open(SYSFS_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		lab_die("lock %s", SYSFS_LOCK);
}

bool lab_read_text(const char *path, char *ret, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, ret, len - 1);
	close(fd);
	if (n < 0)
		return false;
	ret[n] = '\0';
	return true;
}

bool lab_write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

uint64_t lab_vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "re");
	unsigned long long v, ret = 0;
	char key[64];

	while (f && fscanf(f, "%63s %llu", key, &v) == 2) {
		if (strcmp(key, name) == 0)
			ret = v;
	}
	if (f)
		fclose(f);
	return ret;
}

double lab_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void lab_pin(int cpu)
{
	cpu_set_t have, one;
	int seen = 0;

	if (sched_getaffinity(0, sizeof(have), &have) < 0)
		lab_die("sched_getaffinity");
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &have) && seen++ == cpu)
			CPU_SET(i, &one);
	}
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		lab_die("pin to processor %d", cpu);
}

int lab_nr_cpus(void)
{
	cpu_set_t have;

	return sched_getaffinity(0, sizeof(have), &have) < 0 ? 1 : CPU_COUNT(&have);
}
