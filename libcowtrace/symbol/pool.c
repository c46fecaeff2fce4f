/* SPDX-License-Identifier: MIT */
/*
 * A pool of strings.  Blocks are never moved or freed before the pool is, so a
 * pointer once given stays good.  Not a set: equal strings are stored twice; the
 * symbolizer's cache sees to it that they are rarely asked for twice.
 *
 * Invariant: every block holds `used` <= `size` bytes, each string NUL-terminated.
 */
#include "symbol/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_SIZE (16u << 10)

struct ct_pool_block {
	struct ct_pool_block *next;
	size_t used;
	size_t size;
	char bytes[];
};

static char *strings_room(struct ct_pool *pool, size_t len)
{
	struct ct_pool_block *b = pool->blocks;
	size_t size = ct_max(len, (size_t)BLOCK_SIZE);
	char *p;

	if (!b || b->size - b->used < len) {
		b = malloc(sizeof(*b) + size);
		if (!b)
			return NULL;
		b->next = pool->blocks;
		b->used = 0;
		b->size = size;
		pool->blocks = b;
	}
	p = b->bytes + b->used;
	b->used += len;
	return p;
}

const char *ct_pool_copy(struct ct_pool *pool, const char *text, size_t len)
{
	char *p = strings_room(pool, len + 1);

	if (!p)
		return NULL;
	memcpy(p, text, len);
	p[len] = '\0';
	return p;
}

const char *ct_pool_format(struct ct_pool *pool, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		return NULL;
	p = strings_room(pool, (size_t)len + 1);
	if (!p)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return p;
}

void ct_pool_fini(struct ct_pool *pool)
{
	struct ct_pool_block *b = pool->blocks;

	while (b) {
		struct ct_pool_block *next = b->next;

		free(b);
		b = next;
	}
	pool->blocks = NULL;
}
