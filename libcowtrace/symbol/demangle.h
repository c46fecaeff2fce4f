/* SPDX-License-Identifier: MIT */
/* C++ names (and Rust's older ones) as people write them. */
#ifndef CT_SYMBOL_DEMANGLE_H
#define CT_SYMBOL_DEMANGLE_H

#include "symbol/pool.h"

/* Zero-initialise. */
struct ct_demangler {
	bool tried;
	void *library;
	char *(*demangle)(const char *name, char *buf, size_t *len, int *status);
};

/* The readable name, in the pool, or name itself where there is none. */
const char *ct_demangle(struct ct_demangler *d, struct ct_pool *pool, const char *name);

void ct_demangler_fini(struct ct_demangler *d);

#endif
