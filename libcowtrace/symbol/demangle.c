/* SPDX-License-Identifier: MIT */
/*
 * The demangler of the C++ runtime, loaded when the first mangled name comes by: a
 * system without it has no C++ programs either, and a C library need not link it.
 *
 * Invariant: a name that cannot be demangled is given back as it is.
 */
#include "symbol/demangle.h"

#include <dlfcn.h>
#include <string.h>

static void load(struct ct_demangler *d)
{
	d->tried = true;
	d->library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);
	if (!d->library)
		d->library = dlopen("libc++abi.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (d->library)
		*(void **)&d->demangle = dlsym(d->library, "__cxa_demangle");
}

const char *ct_demangle(struct ct_demangler *d, struct ct_pool *pool, const char *name)
{
	ct_auto_free char *readable = NULL;
	const char *copy = NULL;
	int status = -1;

	if (strncmp(name, "_Z", 2) != 0)
		return name;
	if (!d->tried)
		load(d);
	if (d->demangle)
		readable = d->demangle(name, NULL, NULL, &status);
	if (readable && status == 0)
		copy = ct_pool_copy(pool, readable, strlen(readable));
	return copy ? copy : name;
}

void ct_demangler_fini(struct ct_demangler *d)
{
	if (d->library)
		dlclose(d->library);
	*d = (struct ct_demangler){ 0 };
}
