/* SPDX-License-Identifier: MIT */
/*
 * libc: an exit handler without a DSO handle, registered before main's start-up
 * code, runs after every other handler and after the destructors of libraries;
 * the first quick_exit handler runs last; vfork's child runs none of them with
 * _exit().
 */
#include "say.h"

int __cxa_atexit(void (*fn)(void *), void *arg, void *dso);
int __cxa_at_quick_exit(void (*fn)(void *), void *dso);

static char order[16];
static int nr;

static void last(void *arg)
{
	order[nr++] = 'L';
	order[nr] = '\0';
	_exit(strcmp(order, arg ? "qL" : "adL") ? 1 : 0);
}

static void last_quick(void *arg)
{
	last(order);
}

/* The preload's constructor is as early as this one: before libc's start of main. */
static void early(void)
{
	__cxa_atexit(last, NULL, NULL);
	__cxa_at_quick_exit(last_quick, NULL);
}
__attribute__((section(".preinit_array"), used)) static void (*const at_start)(void) = early;

static void handler(void)
{
	order[nr++] = 'a';
}

static void quick_handler(void)
{
	order[nr++] = 'q';
}

static __attribute__((destructor)) void destructor(void)
{
	order[nr++] = 'd';
}

int main(void)
{
	int status;
	pid_t pid = fork();

	atexit(handler);
	at_quick_exit(quick_handler);
	if (!pid)
		quick_exit(3);
	say("quick_exit: the first comes last", waitpid(pid, &status, 0) == pid && !status);
	return 2;
}
