/* SPDX-License-Identifier: MIT */
/*
 * The library's one variable and its constructor.
 *
 * -z initfirst makes this constructor the first of the process.  Only one
 * library can have that place: where another one takes it, the wrapper of
 * __register_atfork() (every pthread_atfork() ends there) attaches in time to
 * be registered before it.
 */
#include <pthread.h>

#include "preload/preload.h"
#include "traced/attach.h"

struct ct_shim *ct_shim;

static __attribute__((constructor)) void attach(int argc, char **argv, char **envp)
{
	ct_attach(envp);
}

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso);

ct_public int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
				void *dso)
{
	if (!CT_READY())
		ct_attach(environ);
	return CT_NEXT(__register_atfork)(prepare, parent, child, dso);
}
