/* SPDX-License-Identifier: MIT */
/*
 * Numbers for people: sizes in binary units, times in the unit that leaves one
 * to three digits before the point, counts in groups of three.
 *
 * Invariant: at most nine columns but for counts, so that tables stay narrow.
 */
#include <stdio.h>
#include <string.h>

#include "format.h"

static const struct ct_text unknown = { "?" };

struct ct_text ct_format_count(u64 n)
{
	struct ct_text t;
	char digits[24];
	size_t len, out = 0;

	if (n == UINT64_MAX)
		return unknown;
	len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			t.s[out++] = ',';
		t.s[out++] = digits[i];
	}
	t.s[out] = 0;
	return t;
}

/* v in units that are `factor` apart: the first in which it has at most four digits. */
static struct ct_text scale(double v, double factor, const char *const *units, size_t nr)
{
	struct ct_text t;
	size_t i = 0;

	while (i + 1 < nr && v >= 1000) {
		v /= factor;
		i++;
	}
	snprintf(t.s, sizeof(t.s), v >= 99.95 || v == (u64)v ? "%.0f %s" : "%.1f %s", v, units[i]);
	return t;
}

struct ct_text ct_format_bytes(u64 len)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };

	return len == UINT64_MAX ? unknown : scale((double)len, 1024, units, ct_array_size(units));
}

struct ct_text ct_format_pages(u64 pages)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB" };

	if (pages == UINT64_MAX)
		return unknown;
	if (!pages)
		return (struct ct_text){ "0" };
	return scale((double)pages * 4, 1024, units, ct_array_size(units));
}

struct ct_text ct_format_share(u64 part, u64 whole)
{
	struct ct_text t = { "" };
	double v;

	if (part == UINT64_MAX || whole == UINT64_MAX || !whole)
		return t;
	v = 100.0 * (double)part / (double)whole;
	if (part && v < 0.05)
		return (struct ct_text){ "<0.1%" };
	snprintf(t.s, sizeof(t.s), v >= 99.95 || !part ? "%.0f%%" : "%.1f%%", v);
	return t;
}

struct ct_text ct_format_ns(u64 ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };

	return ns == UINT64_MAX ? unknown : scale((double)ns, 1000, units, ct_array_size(units));
}
