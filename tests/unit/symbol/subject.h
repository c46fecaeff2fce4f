/* SPDX-License-Identifier: MIT */
/* Code whose names and lines the symbol test knows. */
#ifndef UNIT_SYMBOL_SUBJECT_H
#define UNIT_SYMBOL_SUBJECT_H

#include <stdint.h>

/* Return addresses: of a call in an inlined function in an inlined function, and of a plain one. */
struct subject {
	uintptr_t inlined;
	uintptr_t plain;
	int line_leaf, line_middle, line_outer, line_plain;
};

struct subject subject_run(void);

#endif
