/* SPDX-License-Identifier: MIT */
/*
 * First writes: the one record of which there are millions.  Side, verdicts and
 * reasons take few values together, so they become a row of write_kinds, in
 * words, the first time they are seen, and a small number in writes.
 *
 * Invariant: a kind's row is put before the first write of that kind, in the same
 * batch or an earlier one.  Two rows may say the same (a recording of more kinds
 * than are remembered): nothing counts rows of write_kinds.
 */
#include <cowtrace/policy.h>

#include "store/bind.h"
#include "store/schema.h"

/* All of a kind in one number, never 0.  Values that do not fit are no enum's. */
static u64 pack(const struct ct_rec *r)
{
	return 1ULL << 63 | (u64)(r->write.side & 0xff) | (u64)(r->write.no_site & 0xff) << 8 |
	       (u64)(r->write.access & 0xf) << 16 | (u64)r->write.huge << 20 |
	       (u64)(r->write.predicted & 0xf) << 21 | (u64)(r->write.observed & 0xf) << 25 |
	       (u64)(r->write.likely & 0xf) << 29 | (u64)r->write.reason << 33 |
	       (u64)(r->write.decides & 0xff) << 49;
}

static bool is_uncertain(const struct ct_rec *r)
{
	return r->write.predicted == COWTRACE_UNCERTAIN;
}

static int put_kind(struct ct_store *s, const struct ct_rec *r, u32 id)
{
	struct ct_binder b = ct_bind(s, CT_STMT_WRITE_KIND);

	ct_bind_int(&b, id);
	ct_bind_text(&b, ct_side_name(r->write.side));
	ct_bind_text(&b, ct_access_name(r->write.access));
	ct_bind_text(&b, r->write.no_site ? ct_no_site_name(r->write.no_site) : NULL);
	ct_bind_int(&b, r->write.huge);
	ct_bind_text(&b, cowtrace_action_name(r->write.predicted));
	ct_bind_text(&b, cowtrace_reason_name(r->write.reason));
	ct_bind_text(&b, is_uncertain(r) ? cowtrace_field_name(r->write.decides) : NULL);
	ct_bind_text(&b, is_uncertain(r) ? cowtrace_action_name(r->write.likely) : NULL);
	ct_bind_text(&b, cowtrace_action_name(r->write.observed));
	return ct_put_step(b.st);
}

/* The id of r's kind, with its row put where there was none. */
static int kind_of(struct ct_store *s, const struct ct_rec *r, u32 *ret_id)
{
	struct ct_kinds *k = &s->kinds;
	u64 packed = pack(r);
	u32 at = (u32)((packed * 0x9e3779b97f4a7c15ULL) >> 40) & (CT_KINDS - 1);
	int rc;

	for (; k->packed[at]; at = (at + 1) & (CT_KINDS - 1)) {
		if (k->packed[at] != packed)
			continue;
		*ret_id = k->id[at];
		return SQLITE_OK;
	}
	rc = put_kind(s, r, k->nr + 1);
	if (rc != SQLITE_OK)
		return rc;
	*ret_id = ++k->nr;
	if (k->nr_kept < CT_KINDS * 3 / 4) {
		k->nr_kept++;
		k->packed[at] = packed;
		k->id[at] = k->nr;
	}
	return SQLITE_OK;
}

/* What decides only where the verdict is uncertain is left out of other kinds. */
static struct ct_rec normal(const struct ct_rec *r)
{
	struct ct_rec n = { .type = CT_REC_WRITE, .write = r->write };

	if (!is_uncertain(r))
		n.write.decides = n.write.likely = 0;
	return n;
}

int ct_put_write(struct ct_store *s, const struct ct_rec *rec)
{
	struct ct_rec r = normal(rec);
	struct ct_binder b = ct_bind(s, CT_STMT_WRITE);
	u32 kind;
	int rc = kind_of(s, &r, &kind);

	if (rc != SQLITE_OK)
		return rc;
	ct_bind_int(&b, r.write.process);
	ct_bind_int(&b, r.write.fork);
	ct_bind_count(&b, r.write.t_ns);
	ct_bind_int(&b, (s64)r.write.page);
	ct_bind_int(&b, r.write.pages);
	ct_bind_int(&b, r.write.site);
	ct_bind_int(&b, kind);
	if (r.write.syscall < 0)
		ct_bind_null(&b);
	else
		ct_bind_int(&b, r.write.syscall);
	/* A site's leaf is the instruction, and says in which file it is. */
	if (r.write.site || !r.write.pc)
		ct_bind_null(&b);
	else
		ct_bind_int(&b, (s64)r.write.pc);
	return ct_put_step(b.st);
}
