/* SPDX-License-Identifier: MIT */
/*
 * Sums of /proc/PID/smaps and smaps_rollup, in bytes.  A reading walks the page
 * tables of the process under its mmap lock (4 ms per GiB of 4 KiB pages): a
 * witness for the end of an epoch, nothing for a loop.
 *
 * Invariant: *ret is written only when a whole file was read and understood.
 */
#include "sys/smaps.h"

#include <errno.h>
#include <string.h>

#include "sys/procfile.h"

static const struct {
	const char *key;
	size_t offset;
} smaps_keys[] = {
	{ "Rss:", offsetof(struct ct_smaps_sum, rss) },
	{ "Pss:", offsetof(struct ct_smaps_sum, pss) },
	{ "Shared_Clean:", offsetof(struct ct_smaps_sum, shared_clean) },
	{ "Shared_Dirty:", offsetof(struct ct_smaps_sum, shared_dirty) },
	{ "Private_Clean:", offsetof(struct ct_smaps_sum, private_clean) },
	{ "Private_Dirty:", offsetof(struct ct_smaps_sum, private_dirty) },
	{ "Anonymous:", offsetof(struct ct_smaps_sum, anonymous) },
	{ "KSM:", offsetof(struct ct_smaps_sum, ksm) },
	{ "AnonHugePages:", offsetof(struct ct_smaps_sum, anon_huge) },
	{ "Swap:", offsetof(struct ct_smaps_sum, swap) },
};

/* Adds a "Key:   N kB" line; a key that is not ours is none of our business. */
static int sum_add_line(const char *line, struct ct_smaps_sum *sum)
{
	for (size_t i = 0; i < ct_array_size(smaps_keys); i++) {
		size_t n = strlen(smaps_keys[i].key);
		const char *p = line + n;
		u64 kib;

		if (strncmp(line, smaps_keys[i].key, n) != 0)
			continue;
		if (!ct_parse_u64(&p, &kib) || strncmp(p, " kB", 3) != 0)
			return -EINVAL;
		*(u64 *)((char *)sum + smaps_keys[i].offset) += kib << 10;
		return 0;
	}
	return 0;
}

/* "START-END perms ...": a VMA's header; every other line begins with a capital letter. */
static bool is_header(const char *line, u64 *ret_start, u64 *ret_end)
{
	char *p;

	if (!((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')))
		return false;
	*ret_start = strtoull(line, &p, 16);
	if (*p != '-')
		return false;
	*ret_end = strtoull(p + 1, &p, 16);
	return *p == ' ';
}

static int sum_text(const char *text, u64 start, u64 end, struct ct_smaps_sum *ret)
{
	struct ct_smaps_sum sum = { 0 };
	bool inside = false;
	u64 vma_start, vma_end;

	while (*text) {
		const char *nl = strchr(text, '\n');
		int r = 0;

		if (!nl)
			return -EINVAL;
		if (is_header(text, &vma_start, &vma_end))
			inside = vma_start < end && vma_end > start;
		else if (inside)
			r = sum_add_line(text, &sum);
		if (r < 0)
			return r;
		text = nl + 1;
	}
	*ret = sum;
	return 0;
}

static int smaps_sum(pid_t pid, const char *name, u64 start, u64 end, struct ct_smaps_sum *ret)
{
	struct ct_textbuf buf = { 0 };
	int r = ct_textbuf_read_proc(&buf, pid, name);

	/* A zombie's smaps is empty, its rollup refuses. */
	if (r == 0 && buf.len == 0)
		r = -ESRCH;
	if (r == 0)
		r = sum_text(buf.text, start, end, ret);
	ct_textbuf_fini(&buf);
	return r;
}

int ct_smaps_rollup(pid_t pid, struct ct_smaps_sum *ret)
{
	return smaps_sum(pid, "smaps_rollup", 0, UINT64_MAX, ret);
}

int ct_smaps_range(pid_t pid, u64 start, u64 end, struct ct_smaps_sum *ret)
{
	return smaps_sum(pid, "smaps", start, end, ret);
}
