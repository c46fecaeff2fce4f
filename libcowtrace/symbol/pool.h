/* SPDX-License-Identifier: MIT */
/* Strings that live as long as their pool: names that no debug file holds. */
#ifndef CT_SYMBOL_POOL_H
#define CT_SYMBOL_POOL_H

#include "base/base.h"

struct ct_pool_block;

/* Zero-initialise. */
struct ct_pool {
	struct ct_pool_block *blocks;
};

/* A copy of text, or of the formatted text; NULL: no memory. */
const char *ct_pool_copy(struct ct_pool *pool, const char *text, size_t len);
ct_printf(2, 3) const char *ct_pool_format(struct ct_pool *pool, const char *fmt, ...);

void ct_pool_fini(struct ct_pool *pool);

#endif
