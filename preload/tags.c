/* SPDX-License-Identifier: MIT */
/*
 * <cowtrace/trace.h> while something records: the names of libcowtrace.so,
 * earlier in search order.
 */
#include "preload/preload.h"
#include "traced/tags.h"

ct_public int cowtrace_region_tag(const void *addr, size_t len, const char *name)
{
	return ct_tag_add(addr, len, name);
}

ct_public int cowtrace_region_untag(const void *addr, size_t len)
{
	return ct_tag_remove(addr, len);
}

ct_public int cowtrace_phase(const char *name)
{
	return ct_tag_phase(name);
}

ct_public int cowtrace_stats(struct cowtrace_stats *ret)
{
	return ct_tag_stats(ret);
}
