/* SPDX-License-Identifier: MIT */
/*
 * What changed between two snapshots.
 *
 * A page that was not written since the older one is the same; of the others both
 * contents are there, and compared: batches release pages that nobody then writes,
 * and some writes change nothing.
 *
 * What holds always: a page that differs is listed.
 */
#include <errno.h>
#include <string.h>

#include "snapshot/content.h"

struct listing {
	struct cowtrace_snapshot *older, *newer;
	struct cowtrace_run *runs;
	size_t max, nr;
};

/* Both saved, in the same slot: one content, written after both. */
static bool same_slot(const struct listing *l, u64 page)
{
	u32 slot = ct_snap_slot(l->newer, page);

	return slot != CT_SNAP_SLOT_NONE && slot == ct_snap_slot(l->older, page);
}

static int differs(const struct listing *l, u64 page, bool *ret)
{
	char a[CT_PAGE_SIZE], b[CT_PAGE_SIZE];
	int err;

	*ret = false;
	if (ct_snap_is_live(l->older, page))
		return 0;
	*ret = true;
	if (!l->newer)
		return 0;
	*ret = false;
	if (same_slot(l, page))
		return 0;
	err = ct_snap_read(l->older, ct_addr_of(page), a, sizeof(a));
	if (!err)
		err = ct_snap_read(l->newer, ct_addr_of(page), b, sizeof(b));
	*ret = !err && memcmp(a, b, sizeof(a));
	return err;
}

/* False: there is no room for it. */
static bool add(struct listing *l, u64 page)
{
	size_t offset = ct_addr_of(page);
	struct cowtrace_run *last = l->nr ? &l->runs[l->nr - 1] : NULL;

	if (last && last->offset + last->len == offset) {
		last->len += CT_PAGE_SIZE;
		return true;
	}
	if (l->nr == l->max)
		return false;
	l->runs[l->nr++] = (struct cowtrace_run){ offset, CT_PAGE_SIZE };
	return true;
}

static int list(struct listing *l, size_t offset, size_t *ret_next)
{
	u64 page = ct_page_of(offset), end = l->older->heap->nr_pages;

	for (; page < end; page++) {
		bool is;
		int err = differs(l, page, &is);

		if (err)
			return err;
		if (is && !add(l, page))
			break;
	}
	*ret_next = ct_addr_of(page);
	return ct_snap_still_held(l->older);
}

int cowtrace_snapshot_diff(struct cowtrace_snapshot *older, struct cowtrace_snapshot *newer,
			   size_t offset, struct cowtrace_run *runs, size_t nr_runs, size_t *ret_nr,
			   size_t *ret_next)
{
	struct listing l = { older, newer, runs, nr_runs, 0 };
	size_t next;
	int err = ct_snap_get(older);

	if (err)
		return err;
	if (newer)
		err = ct_snap_get(newer);
	if (err)
		goto put_older;
	if (!runs || !nr_runs || !ret_nr || !ret_next || offset & (CT_PAGE_SIZE - 1) ||
	    offset > older->heap->len ||
	    (newer && (newer->heap != older->heap || newer->id <= older->id)))
		err = -EINVAL;
	else
		err = list(&l, offset, &next);
	if (!err) {
		*ret_nr = l.nr;
		*ret_next = next;
	}
	if (newer)
		ct_snap_put(newer);
put_older:
	ct_snap_put(older);
	return err;
}
