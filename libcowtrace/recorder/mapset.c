/* SPDX-License-Identifier: MIT */
/*
 * Shared readings of VMAs, and the cheap question whether one still holds: the
 * sizes in /proc/PID/statm are kept by the kernel and cost a tenth of the VMAs.
 *
 * Invariant: immutable once made.
 */
#include <errno.h>
#include <string.h>

#include "base/futex.h"
#include "recorder/mapset.h"

/* Sizes can be the same by chance; not for longer than this. */
#define TRUST_NS CT_NSEC_PER_SEC

struct ct_mapset *ct_mapset_ref(struct ct_mapset *m)
{
	m->refs++;
	return m;
}

void ct_mapset_unref(struct ct_mapset *m)
{
	if (!m || --m->refs)
		return;
	ct_maps_fini(&m->maps);
	ct_plan_fini(&m->plan);
	free(m);
}

static u64 hash_text(const char *s, size_t len)
{
	u64 h = len, v;

	for (; len >= 8; s += 8, len -= 8) {
		memcpy(&v, s, 8);
		h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 32;
	}
	v = 0;
	memcpy(&v, s, len);
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

/*
 * All that is mapped but private writable memory is what a plan leaves out: where
 * that has not changed, the plan holds.
 */
static bool still_holds(const struct ct_mapset *m, const struct ct_proc_sizes *now, u64 now_ns,
			bool for_reading)
{
	if (!m || now_ns - m->read_ns >= TRUST_NS ||
	    m->sizes.total - m->sizes.data != now->total - now->data)
		return false;
	return for_reading || m->sizes.data == now->data;
}

int ct_mapset_get(pid_t pid, int *statm_fd, int pagemap_fd, const struct ct_kcaps *caps,
		  struct ct_mapset *known, bool for_reading, struct ct_mapset **ret)
{
	struct ct_proc_sizes sizes;
	u64 now = ct_now_ns();
	struct ct_mapset *m;
	int err;

	err = ct_proc_sizes_read(pid, statm_fd, &sizes);
	if (err)
		return err;
	if (still_holds(known, &sizes, now, for_reading && caps->pagemap_scan)) {
		*ret = ct_mapset_ref(known);
		return 0;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->refs = 1;
	m->sizes = sizes;
	m->read_ns = now;
	err = ct_maps_read(pid, &m->maps);
	if (!err) {
		m->hash = hash_text(m->maps.text, m->maps.text_len);
		err = ct_maps_parse(&m->maps);
	}
	if (!err)
		err = ct_plan_make(&m->maps, pagemap_fd, caps, &m->plan);
	if (err) {
		ct_mapset_unref(m);
		return err;
	}
	*ret = m;
	return 0;
}
