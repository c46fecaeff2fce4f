/* SPDX-License-Identifier: MIT */
/*
 * The tables that have most of the rows: a fork of a server's process has two
 * hundred, in regions, region_counts and runs.  SQLite spends more on a statement
 * than on a row, so these go in sixteen at a time, and wait for each other until
 * the batch ends.
 *
 * Invariant: the rows of one table are written in the order of their records, and
 * none waits longer than the batch.
 */
#include <string.h>

#include "store/bind.h"
#include "store/schema.h"

static void bind_region(struct ct_binder *b, const struct ct_rec *r)
{
	ct_bind_int(b, r->region.id);
	ct_bind_int(b, r->region.process);
	ct_bind_int(b, (s64)r->region.start);
	ct_bind_int(b, (s64)r->region.end);
	ct_bind_text(b, ct_kind_name(r->region.kind));
	ct_bind_text(b, r->region.name);
	ct_bind_int(b, r->region.tagged);
	ct_bind_int(b, r->region.site);
	ct_bind_text(b, ct_thp_advice_name(r->region.thp));
	ct_bind_text(b, ct_ksm_advice_name(r->region.ksm));
	ct_bind_text(b, ct_fork_advice_name(r->region.fork_advice));
	ct_bind_count(b, r->region.t_ns);
}

static void bind_count(struct ct_binder *b, const struct ct_rec *r)
{
	ct_bind_int(b, r->region_count.fork);
	ct_bind_int(b, r->region_count.region);
	ct_bind_text(b, ct_side_name(r->region_count.side));
	ct_bind_count(b, r->region_count.shared);
	ct_bind_count(b, r->region_count.huge);
	ct_bind_count(b, r->region_count.copied);
	ct_bind_count(b, r->region_count.dropped);
	ct_bind_count(b, r->region_count.fresh);
	ct_bind_count(b, r->region_count.unknown);
}

static void bind_run(struct ct_binder *b, u32 fork, const struct ct_rec_run *run)
{
	ct_bind_int(b, fork);
	ct_bind_int(b, (s64)run->page);
	ct_bind_int(b, run->pages);
	ct_bind_int(b, run->state);
}

/* Which statements a kind of row has, and how its values go into them. */
struct kind {
	enum ct_stmt one, many;
	void (*bind)(struct ct_binder *b, const struct ct_rec *r);
};

static const struct kind region_rows = { CT_STMT_REGION, CT_STMT_REGIONS, bind_region };
static const struct kind count_rows = { CT_STMT_REGION_COUNT, CT_STMT_REGION_COUNTS, bind_count };

/* All that waits: in one statement when there are as many as it takes. */
static int write_rows(struct ct_store *s, struct ct_rows *rows, const struct kind *k)
{
	const bool whole = rows->nr == CT_MANY_ROWS;
	struct ct_binder b = ct_bind(s, k->many);
	int rc = SQLITE_OK;

	for (u32 i = 0; i < rows->nr && rc == SQLITE_OK; i++) {
		if (!whole)
			b = ct_bind(s, k->one);
		k->bind(&b, &rows->v[i]);
		if (!whole || i + 1 == rows->nr)
			rc = ct_put_step(b.st);
	}
	rows->nr = 0;
	return rc;
}

static int add_row(struct ct_store *s, struct ct_rows *rows, const struct kind *k,
		   const struct ct_rec *r)
{
	rows->v[rows->nr++] = *r;
	return rows->nr == CT_MANY_ROWS ? write_rows(s, rows, k) : SQLITE_OK;
}

int ct_put_region(struct ct_store *s, const struct ct_rec *r)
{
	const size_t len = r->region.name ? strlen(r->region.name) + 1 : 0;
	struct ct_rec copy = *r;
	char *name = s->region_names[s->regions.nr];

	/* The name is the caller's, and would have to wait with the row. */
	if (len > sizeof(s->region_names[0])) {
		struct ct_binder b;
		int rc = write_rows(s, &s->regions, &region_rows);

		b = ct_bind(s, CT_STMT_REGION);
		bind_region(&b, r);
		return rc == SQLITE_OK ? ct_put_step(b.st) : rc;
	}
	if (len)
		copy.region.name = memcpy(name, r->region.name, len);
	return add_row(s, &s->regions, &region_rows, &copy);
}

int ct_put_region_count(struct ct_store *s, const struct ct_rec *r)
{
	return add_row(s, &s->counts, &count_rows, r);
}

int ct_put_runs(struct ct_store *s, const struct ct_rec *r)
{
	const struct ct_rec_run *run = r->runs.runs, *end = run + r->runs.nr;
	int rc = SQLITE_OK;

	while (run < end && rc == SQLITE_OK) {
		const bool many = end - run >= CT_MANY_ROWS;
		struct ct_binder b = ct_bind(s, many ? CT_STMT_RUNS : CT_STMT_RUN);

		for (u32 i = 0; i < (many ? CT_MANY_ROWS : 1); i++)
			bind_run(&b, r->runs.fork, run++);
		rc = ct_put_step(b.st);
	}
	return rc;
}

int ct_put_waiting(struct ct_store *s)
{
	int rc = write_rows(s, &s->regions, &region_rows);

	return rc == SQLITE_OK ? write_rows(s, &s->counts, &count_rows) : rc;
}
