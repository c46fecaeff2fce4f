/* SPDX-License-Identifier: MIT */
/*
 * The ledger's memory, counted.  Not a cache and not a pool: plain malloc.
 *
 * Invariant: l->memory is the sum of what is allocated; once an allocation failed
 * l->broken stays set, and nobody trusts the book any more.
 */
#include <stdlib.h>

#include "ledger/internal.h"

int ct_result(const struct ct_ledger *l, int rc)
{
	return l->broken ? -ENOMEM : rc;
}

void *ct_mem_get(struct ct_ledger *l, size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		l->broken = true;
	else
		l->memory += size;
	return p;
}

void ct_mem_put(struct ct_ledger *l, void *p, size_t size)
{
	if (!p)
		return;
	l->memory -= size;
	free(p);
}

bool ct_mem_room(struct ct_ledger *l, void **array, size_t nr, size_t *max, size_t size)
{
	size_t more = *max ? *max + *max / 2 : 8;
	void *p;

	if (nr < *max)
		return true;
	p = realloc(*array, more * size);
	if (!p) {
		l->broken = true;
		return false;
	}
	l->memory += (more - *max) * size;
	*array = p;
	*max = more;
	return true;
}
