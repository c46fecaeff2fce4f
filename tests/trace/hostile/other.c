/* SPDX-License-Identifier: MIT */
/*
 * Another preload beside ours: it wraps what we wrap, registers handlers of its
 * own for everything, and allocates wherever it can.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define public __attribute__((visibility("default")))

public
extern int other_forks, other_maps, other_order;
int other_forks, other_maps, other_order;

static int (*phase)(const char *);

static void mark(const char *name)
{
	void *p = malloc(100);

	if (phase)
		phase(name);
	free(p);
}

static void before(void)
{
	/* Registered later than ours: runs before it. */
	mark("other_prepare");
}

static void after(void)
{
	mark("other_parent");
}

static void at_end(void)
{
	mark("other_atexit");
}

static __attribute__((constructor)) void begin(void)
{
	phase = (int (*)(const char *))dlsym(RTLD_DEFAULT, "cowtrace_phase");
	pthread_atfork(before, after, NULL);
	atexit(at_end);
}

static __attribute__((destructor)) void end(void)
{
	mark("other_fini");
}

public
pid_t fork(void)
{
	pid_t (*next)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");

	other_forks++;
	return next();
}

public
void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *(*next)(void *, size_t, int, int, int, off_t) =
		(void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");

	other_maps++;
	return next(addr, len, prot, flags, fd, offset);
}
