/* SPDX-License-Identifier: MIT */
/*
 * One record into its rows.  Each type of record.h has one statement here; what
 * a record does not carry stays as it was, so that records of one fork or one
 * process may come in any order and any number.
 *
 * Invariant: a count of CT_UNKNOWN becomes NULL, never a number.
 */
#include "store/schema.h"
#include "store/writer.h"

const char *const ct_stmt_sql[CT_STMT_NR] = {
	[CT_STMT_META] = "INSERT OR REPLACE INTO meta VALUES(?1,?2)",
	[CT_STMT_PROCESS] =
		"INSERT INTO processes(id,parent,pid,parent_pid,comm,exe,start_ns,ended)"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,'running')"
		" ON CONFLICT(id) DO UPDATE SET parent=?2,pid=?3,parent_pid=?4,"
		" comm=coalesce(comm,?5),exe=coalesce(exe,?6),start_ns=?7,"
		" ended=coalesce(ended,'running')",
	[CT_STMT_PROCESS_COMM] =
		"INSERT INTO processes(id,comm,exe) VALUES(?1,?2,?3)"
		" ON CONFLICT(id) DO UPDATE SET comm=coalesce(?2,comm),exe=coalesce(?3,exe)",
	[CT_STMT_PROCESS_END] = "INSERT INTO processes(id,ended,end_ns,wstatus) VALUES(?1,?2,?3,?4)"
				" ON CONFLICT(id) DO UPDATE SET ended=?2,end_ns=?3,wstatus=?4",
	[CT_STMT_MODULE] = "INSERT OR REPLACE INTO modules VALUES(?1,?2,?3)",
	[CT_STMT_FRAME] = "INSERT OR REPLACE INTO frames VALUES(?1,?2,?3,?4)",
	[CT_STMT_FORK] =
		"INSERT INTO forks(id,parent,child,child_pid,site,phase,how,start_ns,hold_ns,"
		" pages_shared,huge_pages_shared,swapped,late)"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"
		" ON CONFLICT(id) DO UPDATE SET parent=?2,child=?3,child_pid=?4,site=?5,phase=?6,"
		" how=?7,start_ns=?8,hold_ns=?9,pages_shared=?10,huge_pages_shared=?11,"
		" swapped=?12,late=?13",
	[CT_STMT_FORK_TIMES] = "INSERT INTO forks(id,fork_ns,arm_ns,event_ns) VALUES(?1,?2,?3,?4)"
			       " ON CONFLICT(id) DO UPDATE SET fork_ns=?2,arm_ns=?3,event_ns=?4",
	[CT_STMT_FORK_END] =
		"INSERT INTO forks(id,end_ns,copied_min,copied_max) VALUES(?1,?2,?3,?4)"
		" ON CONFLICT(id) DO UPDATE SET end_ns=?2,copied_min=?3,copied_max=?4",
	[CT_STMT_SIDE] = "INSERT OR REPLACE INTO sides VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
	[CT_STMT_REGION] =
		"INSERT OR REPLACE INTO regions VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
	[CT_STMT_REGION_COUNT] =
		"INSERT OR REPLACE INTO region_counts VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[CT_STMT_TIMELINE] = "INSERT INTO timeline VALUES(?1,?2,?3,?4)",
	[CT_STMT_WITNESS] = "INSERT INTO witnesses VALUES(?1,?2,?3,?4,?5,?6)",
	[CT_STMT_EVENT] = "INSERT INTO events VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
	[CT_STMT_RUN] = "INSERT OR REPLACE INTO runs VALUES(?1,?2,?3,?4)",
	[CT_STMT_NOTE] = "INSERT INTO notes VALUES(?1,?2,?3,?4,?5)",
	[CT_STMT_BEGIN] = "BEGIN IMMEDIATE",
	[CT_STMT_COMMIT] = "COMMIT",
};

/*
 * Binds values in order.  SQLite's bind calls fail only for a column that is not
 * there or for want of memory (TEXT is bound STATIC: no copy), so their results
 * are not looked at: the step that follows fails then.
 */
struct binder {
	sqlite3_stmt *st;
	int col;
};

static void bind_int(struct binder *b, s64 v)
{
	sqlite3_bind_int64(b->st, ++b->col, v);
}

static void bind_count(struct binder *b, u64 v)
{
	if (v == CT_UNKNOWN)
		sqlite3_bind_null(b->st, ++b->col);
	else
		bind_int(b, (s64)v);
}

static void bind_text(struct binder *b, const char *s)
{
	if (s)
		sqlite3_bind_text(b->st, ++b->col, s, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(b->st, ++b->col);
}

int ct_put_step(sqlite3_stmt *st)
{
	sqlite3_step(st);
	return sqlite3_reset(st);
}

static struct binder use(struct ct_store *s, enum ct_stmt n)
{
	return (struct binder){ .st = s->stmt[n] };
}

static int put_process(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_PROCESS);

	bind_int(&b, r->process.id);
	bind_int(&b, r->process.parent);
	bind_int(&b, r->process.pid);
	bind_int(&b, r->process.parent_pid);
	bind_text(&b, r->process.comm);
	bind_text(&b, r->process.exe);
	bind_count(&b, r->process.start_ns);
	return ct_put_step(b.st);
}

static int put_process_comm(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_PROCESS_COMM);

	bind_int(&b, r->process.id);
	bind_text(&b, r->process.comm);
	bind_text(&b, r->process.exe);
	return ct_put_step(b.st);
}

static int put_process_end(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_PROCESS_END);

	bind_int(&b, r->process_end.id);
	bind_text(&b, ct_ended_name(r->process_end.ended));
	bind_count(&b, r->process_end.end_ns);
	bind_count(&b, r->process_end.wstatus == -1 ? CT_UNKNOWN : (u64)r->process_end.wstatus);
	return ct_put_step(b.st);
}

static int put_module(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_MODULE);
	u32 len = ct_min(r->module.build_id_len, (u32)sizeof(r->module.build_id));

	bind_int(&b, r->module.id);
	bind_text(&b, r->module.path);
	if (len)
		sqlite3_bind_blob(b.st, ++b.col, r->module.build_id, (int)len, SQLITE_STATIC);
	else
		sqlite3_bind_null(b.st, ++b.col);
	return ct_put_step(b.st);
}

static int put_site(struct ct_store *s, const struct ct_rec *r)
{
	int rc = SQLITE_OK;

	for (u32 i = 0; i < r->site.nr && rc == SQLITE_OK; i++) {
		struct binder b = use(s, CT_STMT_FRAME);

		bind_int(&b, r->site.id);
		bind_int(&b, i);
		bind_int(&b, r->site.frames[i].module);
		bind_int(&b, (s64)r->site.frames[i].offset);
		rc = ct_put_step(b.st);
	}
	return rc;
}

static int put_fork(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_FORK);

	bind_int(&b, r->fork.id);
	bind_int(&b, r->fork.parent);
	bind_int(&b, r->fork.child);
	bind_int(&b, r->fork.child_pid);
	bind_int(&b, r->fork.site);
	bind_text(&b, r->fork.phase);
	bind_text(&b, r->fork.how);
	bind_count(&b, r->fork.start_ns);
	bind_count(&b, r->fork.hold_ns);
	bind_count(&b, r->fork.pages_shared);
	bind_count(&b, r->fork.huge_pages_shared);
	bind_count(&b, r->fork.swapped);
	bind_int(&b, r->fork.late);
	return ct_put_step(b.st);
}

static int put_fork_times(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_FORK_TIMES);

	bind_int(&b, r->fork_times.id);
	bind_count(&b, r->fork_times.fork_ns);
	bind_count(&b, r->fork_times.arm_ns);
	bind_count(&b, r->fork_times.event_ns);
	return ct_put_step(b.st);
}

static int put_fork_end(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_FORK_END);

	bind_int(&b, r->fork_end.id);
	bind_count(&b, r->fork_end.end_ns);
	bind_count(&b, r->fork_end.copied_min);
	bind_count(&b, r->fork_end.copied_max);
	return ct_put_step(b.st);
}

static int put_side(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_SIDE);

	bind_int(&b, r->side.fork);
	bind_text(&b, ct_side_name(r->side.side));
	bind_text(&b, ct_side_end_name(r->side.end));
	bind_count(&b, r->side.t_ns);
	bind_count(&b, r->side.copied);
	bind_count(&b, r->side.dropped);
	bind_count(&b, r->side.fresh);
	bind_count(&b, r->side.unknown);
	bind_count(&b, r->side.kept);
	bind_count(&b, r->side.attributed);
	return ct_put_step(b.st);
}

static int put_region(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_REGION);

	bind_int(&b, r->region.id);
	bind_int(&b, r->region.process);
	bind_int(&b, (s64)r->region.start);
	bind_int(&b, (s64)r->region.end);
	bind_text(&b, ct_kind_name(r->region.kind));
	bind_text(&b, r->region.name);
	bind_int(&b, r->region.tagged);
	bind_int(&b, r->region.site);
	bind_text(&b, ct_thp_advice_name(r->region.thp));
	bind_text(&b, ct_ksm_advice_name(r->region.ksm));
	bind_text(&b, ct_fork_advice_name(r->region.fork_advice));
	bind_count(&b, r->region.t_ns);
	return ct_put_step(b.st);
}

static int put_region_count(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_REGION_COUNT);

	bind_int(&b, r->region_count.fork);
	bind_int(&b, r->region_count.region);
	bind_text(&b, ct_side_name(r->region_count.side));
	bind_count(&b, r->region_count.shared);
	bind_count(&b, r->region_count.huge);
	bind_count(&b, r->region_count.copied);
	bind_count(&b, r->region_count.dropped);
	bind_count(&b, r->region_count.fresh);
	bind_count(&b, r->region_count.unknown);
	return ct_put_step(b.st);
}

static int put_timeline(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_TIMELINE);

	bind_count(&b, r->timeline.t_ns);
	bind_int(&b, r->timeline.fork);
	bind_text(&b, ct_side_name(r->timeline.side));
	bind_count(&b, r->timeline.copied);
	return ct_put_step(b.st);
}

static int put_witness(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_WITNESS);

	bind_int(&b, r->witness.process);
	bind_int(&b, r->witness.fork);
	bind_count(&b, r->witness.t_ns);
	bind_count(&b, r->witness.private_dirty);
	bind_count(&b, r->witness.census_private);
	bind_text(&b, r->witness.why);
	return ct_put_step(b.st);
}

static int put_event(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_EVENT);

	bind_int(&b, r->event.process);
	bind_text(&b, r->event.type);
	bind_count(&b, r->event.t_ns);
	bind_count(&b, r->event.dur_ns);
	bind_int(&b, (s64)r->event.addr);
	bind_int(&b, (s64)r->event.len);
	bind_int(&b, (s64)r->event.arg);
	bind_int(&b, (s64)r->event.arg2);
	bind_int(&b, (s64)r->event.arg3);
	bind_int(&b, r->event.site);
	bind_text(&b, r->event.name);
	return ct_put_step(b.st);
}

static int put_runs(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_RUN);
	int rc = SQLITE_OK;

	for (u32 i = 0; i < r->runs.nr && rc == SQLITE_OK; i++) {
		const struct ct_rec_run *run = &r->runs.runs[i];

		b.col = 0;
		bind_int(&b, r->runs.fork);
		bind_int(&b, (s64)run->page);
		bind_int(&b, run->pages);
		bind_int(&b, run->state);
		rc = ct_put_step(b.st);
	}
	return rc;
}

static int put_note(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_NOTE);

	bind_count(&b, r->note.t_ns);
	bind_int(&b, r->note.process);
	bind_text(&b, r->note.severity);
	bind_text(&b, r->note.code);
	bind_text(&b, r->note.text);
	return ct_put_step(b.st);
}

static int put_meta(struct ct_store *s, const struct ct_rec *r)
{
	struct binder b = use(s, CT_STMT_META);

	bind_text(&b, r->meta.key);
	bind_text(&b, r->meta.value);
	return ct_put_step(b.st);
}

int ct_put_rec(struct ct_store *s, const struct ct_rec *rec)
{
	static int (*const put[CT_REC_NR])(struct ct_store *, const struct ct_rec *) = {
		[CT_REC_META] = put_meta,
		[CT_REC_PROCESS] = put_process,
		[CT_REC_PROCESS_COMM] = put_process_comm,
		[CT_REC_PROCESS_END] = put_process_end,
		[CT_REC_MODULE] = put_module,
		[CT_REC_SITE] = put_site,
		[CT_REC_FORK] = put_fork,
		[CT_REC_FORK_TIMES] = put_fork_times,
		[CT_REC_FORK_END] = put_fork_end,
		[CT_REC_SIDE] = put_side,
		[CT_REC_REGION] = put_region,
		[CT_REC_REGION_COUNT] = put_region_count,
		[CT_REC_TIMELINE] = put_timeline,
		[CT_REC_WITNESS] = put_witness,
		[CT_REC_EVENT] = put_event,
		[CT_REC_RUNS] = put_runs,
		[CT_REC_NOTE] = put_note,
	};

	if ((unsigned)rec->type >= CT_REC_NR)
		return SQLITE_MISUSE;
	return put[rec->type](s, rec);
}
