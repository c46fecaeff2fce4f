/* SPDX-License-Identifier: MIT */
/*
 * A preloaded library with fork handlers, built twice: 'p' plain, 'f' linked with
 * -z initfirst.  It also stands before libc's __register_atfork, which is what
 * pthread_atfork() calls, and counts those who come by.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "atfork_lib.h"

LAB_ATFORK_HANDLERS(LETTER)

typedef int register_fn(void (*)(void), void (*)(void), void (*)(void), void *);

static unsigned int seen;

__attribute__((visibility("default"))) register_fn __register_atfork;

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso)
{
	register_fn *real = (register_fn *)dlsym(RTLD_NEXT, "__register_atfork");
	char text[16];

	snprintf(text, sizeof(text), "%u", ++seen);
	setenv("LAB_ATFORK_SEEN", text, 1);
	return real(prepare, parent, child, dso);
}

__attribute__((constructor)) static void start(void)
{
	LAB_ATFORK_REGISTER();
}
