/* SPDX-License-Identifier: MIT */
/*
 * What <cowtrace/trace.h> promises, while something records.
 */
#ifndef CT_TRACED_TAGS_H
#define CT_TRACED_TAGS_H

#include <cowtrace/trace.h>

#include "base/base.h"

int ct_tag_add(const void *addr, size_t len, const char *name);
int ct_tag_remove(const void *addr, size_t len);
int ct_tag_phase(const char *name);
int ct_tag_stats(struct cowtrace_stats *ret);

/* What the calls refuse, recording or not: 0 or -EINVAL. */
static inline int ct_tag_check_range(const void *addr, size_t len)
{
	return len && (uintptr_t)addr + len > (uintptr_t)addr ? 0 : -22 /* EINVAL */;
}

/* Copies at most CT_TAG_NAME - 1 bytes and ends them. */
void ct_tag_copy_name(char *to, const char *name);

#endif
