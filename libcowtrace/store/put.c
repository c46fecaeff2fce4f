/* SPDX-License-Identifier: MIT */
/*
 * One record into its rows.  Each type of record.h has one statement here; what
 * a record does not carry stays as it was, so that records of one fork or one
 * process may come in any order and any number.
 *
 * Invariant: a count of CT_UNKNOWN becomes NULL, never a number.
 */
#include "store/bind.h"
#include "store/schema.h"
#include "store/writer.h"

/* CT_MANY_ROWS of them. */
#define FOUR(row) row "," row "," row "," row
#define MANY(row) FOUR(FOUR(row))

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
		" pages_shared,huge_pages_shared,swapped,late,runs_of)"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)"
		" ON CONFLICT(id) DO UPDATE SET parent=?2,child=?3,child_pid=?4,site=?5,phase=?6,"
		" how=?7,start_ns=?8,hold_ns=?9,pages_shared=?10,huge_pages_shared=?11,"
		" swapped=?12,late=?13,runs_of=?14",
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
	[CT_STMT_REGIONS] =
		"INSERT OR REPLACE INTO regions VALUES" MANY("(?,?,?,?,?,?,?,?,?,?,?,?)"),
	[CT_STMT_REGION_COUNTS] =
		"INSERT OR REPLACE INTO region_counts VALUES" MANY("(?,?,?,?,?,?,?,?,?)"),
	[CT_STMT_TIMELINE] = "INSERT INTO timeline VALUES(?1,?2,?3,?4)",
	[CT_STMT_WITNESS] = "INSERT INTO witnesses VALUES(?1,?2,?3,?4,?5,?6)",
	[CT_STMT_EVENT] = "INSERT INTO events VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
	[CT_STMT_RUN] = "INSERT OR REPLACE INTO runs VALUES(?1,?2,?3,?4)",
	[CT_STMT_RUNS] = "INSERT OR REPLACE INTO runs VALUES" MANY("(?,?,?,?)"),
	[CT_STMT_WRITE] = "INSERT INTO writes VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[CT_STMT_WRITE_KIND] = "INSERT INTO write_kinds VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
	[CT_STMT_THP_LOSS] = "INSERT INTO thp_losses VALUES(?1,?2,?3,?4,?5,?6,?7)",
	[CT_STMT_UNATTRIBUTED] = "INSERT OR REPLACE INTO unattributed VALUES(?1,?2,?3,?4)",
	[CT_STMT_CARRIED] = "INSERT OR REPLACE INTO carried VALUES(?1,?2)",
	[CT_STMT_NOTE] = "INSERT INTO notes VALUES(?1,?2,?3,?4,?5)",
	[CT_STMT_BEGIN] = "BEGIN IMMEDIATE",
	[CT_STMT_COMMIT] = "COMMIT",
};

int ct_put_step(sqlite3_stmt *st)
{
	sqlite3_step(st);
	return sqlite3_reset(st);
}

static int put_process(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_PROCESS);

	ct_bind_int(&b, r->process.id);
	ct_bind_int(&b, r->process.parent);
	ct_bind_int(&b, r->process.pid);
	ct_bind_int(&b, r->process.parent_pid);
	ct_bind_text(&b, r->process.comm);
	ct_bind_text(&b, r->process.exe);
	ct_bind_count(&b, r->process.start_ns);
	return ct_put_step(b.st);
}

static int put_process_comm(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_PROCESS_COMM);

	ct_bind_int(&b, r->process.id);
	ct_bind_text(&b, r->process.comm);
	ct_bind_text(&b, r->process.exe);
	return ct_put_step(b.st);
}

static int put_process_end(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_PROCESS_END);

	ct_bind_int(&b, r->process_end.id);
	ct_bind_text(&b, ct_ended_name(r->process_end.ended));
	ct_bind_count(&b, r->process_end.end_ns);
	ct_bind_count(&b, r->process_end.wstatus == -1 ? CT_UNKNOWN : (u64)r->process_end.wstatus);
	return ct_put_step(b.st);
}

static int put_module(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_MODULE);
	u32 len = ct_min(r->module.build_id_len, (u32)sizeof(r->module.build_id));

	ct_bind_int(&b, r->module.id);
	ct_bind_text(&b, r->module.path);
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
		struct ct_binder b = ct_bind(s, CT_STMT_FRAME);

		ct_bind_int(&b, r->site.id);
		ct_bind_int(&b, i);
		ct_bind_int(&b, r->site.frames[i].module);
		ct_bind_int(&b, (s64)r->site.frames[i].offset);
		rc = ct_put_step(b.st);
	}
	return rc;
}

static int put_fork(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_FORK);

	ct_bind_int(&b, r->fork.id);
	ct_bind_int(&b, r->fork.parent);
	ct_bind_int(&b, r->fork.child);
	ct_bind_int(&b, r->fork.child_pid);
	ct_bind_int(&b, r->fork.site);
	ct_bind_text(&b, r->fork.phase);
	ct_bind_text(&b, r->fork.how);
	ct_bind_count(&b, r->fork.start_ns);
	ct_bind_count(&b, r->fork.hold_ns);
	ct_bind_count(&b, r->fork.pages_shared);
	ct_bind_count(&b, r->fork.huge_pages_shared);
	ct_bind_count(&b, r->fork.swapped);
	ct_bind_int(&b, r->fork.late);
	ct_bind_int(&b, r->fork.runs_of);
	return ct_put_step(b.st);
}

static int put_fork_times(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_FORK_TIMES);

	ct_bind_int(&b, r->fork_times.id);
	ct_bind_count(&b, r->fork_times.fork_ns);
	ct_bind_count(&b, r->fork_times.arm_ns);
	ct_bind_count(&b, r->fork_times.event_ns);
	return ct_put_step(b.st);
}

static int put_fork_end(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_FORK_END);

	ct_bind_int(&b, r->fork_end.id);
	ct_bind_count(&b, r->fork_end.end_ns);
	ct_bind_count(&b, r->fork_end.copied_min);
	ct_bind_count(&b, r->fork_end.copied_max);
	return ct_put_step(b.st);
}

static int put_side(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_SIDE);

	ct_bind_int(&b, r->side.fork);
	ct_bind_text(&b, ct_side_name(r->side.side));
	ct_bind_text(&b, ct_side_end_name(r->side.end));
	ct_bind_count(&b, r->side.t_ns);
	ct_bind_count(&b, r->side.copied);
	ct_bind_count(&b, r->side.dropped);
	ct_bind_count(&b, r->side.fresh);
	ct_bind_count(&b, r->side.unknown);
	ct_bind_count(&b, r->side.kept);
	ct_bind_count(&b, r->side.attributed);
	return ct_put_step(b.st);
}

static int put_timeline(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_TIMELINE);

	ct_bind_count(&b, r->timeline.t_ns);
	ct_bind_int(&b, r->timeline.fork);
	ct_bind_text(&b, ct_side_name(r->timeline.side));
	ct_bind_count(&b, r->timeline.copied);
	return ct_put_step(b.st);
}

static int put_witness(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_WITNESS);

	ct_bind_int(&b, r->witness.process);
	ct_bind_int(&b, r->witness.fork);
	ct_bind_count(&b, r->witness.t_ns);
	ct_bind_count(&b, r->witness.private_dirty);
	ct_bind_count(&b, r->witness.census_private);
	ct_bind_text(&b, r->witness.why);
	return ct_put_step(b.st);
}

static int put_event(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_EVENT);

	ct_bind_int(&b, r->event.process);
	ct_bind_text(&b, r->event.type);
	ct_bind_count(&b, r->event.t_ns);
	ct_bind_count(&b, r->event.dur_ns);
	ct_bind_int(&b, (s64)r->event.addr);
	ct_bind_int(&b, (s64)r->event.len);
	ct_bind_int(&b, (s64)r->event.arg);
	ct_bind_int(&b, (s64)r->event.arg2);
	ct_bind_int(&b, (s64)r->event.arg3);
	ct_bind_int(&b, r->event.site);
	ct_bind_text(&b, r->event.name);
	return ct_put_step(b.st);
}

static int put_thp_loss(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_THP_LOSS);

	ct_bind_int(&b, r->thp_loss.process);
	ct_bind_int(&b, r->thp_loss.fork);
	ct_bind_count(&b, r->thp_loss.t_ns);
	ct_bind_text(&b, r->thp_loss.cause);
	ct_bind_int(&b, (s64)r->thp_loss.addr);
	ct_bind_int(&b, (s64)r->thp_loss.len);
	ct_bind_int(&b, r->thp_loss.site);
	return ct_put_step(b.st);
}

static int put_unattributed(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_UNATTRIBUTED);

	ct_bind_int(&b, r->unattributed.fork);
	ct_bind_text(&b, ct_side_name(r->unattributed.side));
	ct_bind_text(&b, ct_no_site_name(r->unattributed.reason));
	ct_bind_count(&b, r->unattributed.pages);
	return ct_put_step(b.st);
}

static int put_carried(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_CARRIED);

	ct_bind_int(&b, r->carried.fork);
	ct_bind_count(&b, r->carried.pages_shared);
	return ct_put_step(b.st);
}

static int put_note(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_NOTE);

	ct_bind_count(&b, r->note.t_ns);
	ct_bind_int(&b, r->note.process);
	ct_bind_text(&b, r->note.severity);
	ct_bind_text(&b, r->note.code);
	ct_bind_text(&b, r->note.text);
	return ct_put_step(b.st);
}

static int put_meta(struct ct_store *s, const struct ct_rec *r)
{
	struct ct_binder b = ct_bind(s, CT_STMT_META);

	ct_bind_text(&b, r->meta.key);
	ct_bind_text(&b, r->meta.value);
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
		[CT_REC_REGION] = ct_put_region,
		[CT_REC_REGION_COUNT] = ct_put_region_count,
		[CT_REC_TIMELINE] = put_timeline,
		[CT_REC_WITNESS] = put_witness,
		[CT_REC_EVENT] = put_event,
		[CT_REC_RUNS] = ct_put_runs,
		[CT_REC_WRITE] = ct_put_write,
		[CT_REC_THP_LOSS] = put_thp_loss,
		[CT_REC_UNATTRIBUTED] = put_unattributed,
		[CT_REC_CARRIED] = put_carried,
		[CT_REC_NOTE] = put_note,
	};

	if ((unsigned)rec->type >= CT_REC_NR)
		return SQLITE_MISUSE;
	return put[rec->type](s, rec);
}
