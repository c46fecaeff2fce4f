/* SPDX-License-Identifier: MIT */
/*
 * The next function in search order: libc's, or another preload's.
 *
 * The constructor looks all of them up once, because dlsym() takes the loader's
 * lock, and a wrapper may be called under any lock.  All these names are in
 * glibc 2.36: none is looked up that may be missing, since a failing dlsym()
 * allocates its message on the program's heap.
 */
#include <dlfcn.h>

#include "traced/attach.h"
#include "traced/shim.h"

#define NAME(name) #name,
static const char next_names[][24] = { CT_NEXT_LIST(NAME) };
#undef NAME

_Static_assert(ct_array_size(next_names) == CT_NEXT_NR, "a name for each");

void ct_next_find_all(struct ct_shim *shim)
{
	u32 i;

	for (i = 0; i < CT_NEXT_NR; i++)
		shim->next[i] = dlsym(RTLD_NEXT, next_names[i]);
}

void *ct_next_find(enum ct_next_id id)
{
	struct ct_shim *shim = ct_shim;

	if (ct_likely(shim && shim->next[id]))
		return shim->next[id];
	return dlsym(RTLD_NEXT, next_names[id]);
}
