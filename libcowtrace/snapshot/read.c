/* SPDX-License-Identifier: MIT */
/*
 * Reading a snapshot: pages that nobody has written since come from where they live,
 * the others from their slots.
 *
 * What holds always: nothing is returned that was copied from a live page unless,
 * after the copying, the snapshot's table still had no slot for it.
 */
#include <errno.h>

#include "snapshot/content.h"
#include "snapshot/copy.h"

/* Copied before looking again: long enough for memcpy, short enough to redo. */
#define PIECE_PAGES 64

int ct_snap_still_held(const struct cowtrace_snapshot *s)
{
	ct_snap_reading_done();
	return ct_snap_state(s);
}

static void copy_saved(struct cowtrace_snapshot *s, u64 offset, char *buf, size_t len)
{
	u32 slot = ct_snap_slot(s, ct_page_of(offset));

	ct_snap_copy(buf, ct_snap_store_at(&s->heap->store, slot) + offset % CT_PAGE_SIZE, len);
}

/* Pages that were live a moment ago. */
static int copy_live(struct cowtrace_snapshot *s, u64 offset, char *buf, size_t len)
{
	int err = ct_snap_check_mapped(s->heap->base + offset, len);

	if (err)
		return err;
	ct_snap_copy(buf, s->heap->base + offset, len);
	ct_snap_reading_done();
	while (len) {
		size_t n = ct_min(len, CT_PAGE_SIZE - offset % CT_PAGE_SIZE);

		if (ct_unlikely(!ct_snap_is_live(s, ct_page_of(offset)))) {
			copy_saved(s, offset, buf, n);
			ct_snap_count(&s->heap->count.reread_pages, 1);
		}
		offset += n;
		buf += n;
		len -= n;
	}
	return 0;
}

/* The end of what is live from offset on, at most end. */
static u64 live_end(const struct cowtrace_snapshot *s, u64 offset, u64 end)
{
	u64 page = ct_page_of(offset), last = ct_page_of(end - 1);

	last = ct_min(last, page + PIECE_PAGES - 1);
	while (page <= last && ct_snap_is_live(s, page))
		page++;
	end = ct_min(end, ct_addr_of(page));
	return ct_max(offset, end);
}

int ct_snap_read(struct cowtrace_snapshot *s, u64 offset, void *buf, size_t len)
{
	u64 end = offset + len;
	char *to = buf;
	int err = 0;

	while (!err && offset < end) {
		u64 next = live_end(s, offset, end);

		if (next > offset) {
			err = copy_live(s, offset, to, next - offset);
		} else {
			next = ct_min(end, ct_addr_of(ct_page_of(offset) + 1));
			copy_saved(s, offset, to, next - offset);
		}
		to += next - offset;
		offset = next;
	}
	return err ? err : ct_snap_still_held(s);
}

int cowtrace_snapshot_read(struct cowtrace_snapshot *snap, size_t offset, void *buf, size_t len)
{
	int err = ct_snap_get(snap);

	if (err)
		return err;
	if (offset > snap->heap->len || len > snap->heap->len - offset || (len && !buf))
		err = -EINVAL;
	else
		err = ct_snap_read(snap, offset, buf, len);
	ct_snap_put(snap);
	return err;
}
