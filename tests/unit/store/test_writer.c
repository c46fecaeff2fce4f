/* SPDX-License-Identifier: MIT */
/*
 * The writer against SQLite itself: what was put is read back with plain
 * queries, not with our reader, so that both cannot be wrong together.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>
#include <sqlite3.h>

#include <cowtrace/policy.h>

#include "store/schema.h"
#include "store/store.h"

#define CT_KINDS_KEPT 768 /* put_write.c remembers so many */

struct fixture {
	char dir[64];
	char path[96];
	struct ct_err err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/ct-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/a.cowtrace", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

/* Rows of a query as text, columns by '|', rows by ';', NULL as "-". */
static const char *query(const char *path, const char *sql)
{
	static char out[4096];
	sqlite3_stmt *st;
	sqlite3 *db;
	size_t n = 0;

	out[0] = 0;
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	while (sqlite3_step(st) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			const char *v = (const char *)sqlite3_column_text(st, i);

			n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s", v ? v : "-",
					      i + 1 < sqlite3_column_count(st) ? "|" : ";");
			assert_true(n < sizeof(out));
		}
	sqlite3_finalize(st);
	sqlite3_close(db);
	return out;
}

static int nr_files(const char *dir)
{
	char cmd[128];
	FILE *p;
	int n = -1;

	snprintf(cmd, sizeof(cmd), "ls -A %s | wc -l", dir);
	p = popen(cmd, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%d", &n), 1);
	pclose(p);
	return n;
}

static struct ct_store *create(struct fixture *f)
{
	struct ct_store *s = NULL;
	int rc = ct_store_create(f->path, &s, &f->err);

	if (rc)
		fail_msg("create: %d %s", rc, f->err.text);
	return s;
}

static void put(struct ct_store *s, struct ct_rec rec)
{
	if (ct_store_put(s, &rec))
		fail_msg("put: %s", ct_store_error(s));
}

static void finish(struct fixture *f, struct ct_store *s)
{
	if (ct_store_finish(s, NULL, &f->err))
		fail_msg("finish: %s", f->err.text);
}

static void test_marks(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f);
	struct ct_sqlite_header h;
	u8 bytes[CT_SQLITE_HEADER_LEN];
	int fd;

	assert_string_equal(query(f->path, "SELECT value FROM meta WHERE key='complete'"), "0;");
	finish(f, s);
	assert_int_equal(nr_files(f->dir), 1);
	assert_string_equal(
		query(f->path,
		      "SELECT key,value FROM meta WHERE key IN('complete','why_incomplete')"),
		"complete|1;why_incomplete|;");
	fd = open(f->path, O_RDONLY);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	assert_int_equal(ct_sqlite_header_parse(bytes, &h), 0);
	assert_int_equal(h.application_id, CT_SCHEMA_APPLICATION_ID);
	assert_int_equal(h.user_version, CT_SCHEMA_VERSION);
	assert_false(h.wal);
}

static void test_every_record(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f);
	char *argv[] = { "redis-server", "--port", "7 \"000", NULL };
	struct ct_rec_frame frames[] = { { 1, 0x10 }, { 0, 0x7fff00001234 } };
	struct ct_rec_run runs[] = { { 256, 512, CT_RUN_HUGE }, { 0x7ffff0000, 1, CT_RUN_SWAP } };
	struct ct_rec side = { .type = CT_REC_SIDE,
			       .side = { .fork = 1, .side = CT_SIDE_CHILD, .copied = 1 } };
	struct ct_rec count = { .type = CT_REC_REGION_COUNT,
				.region_count = { .fork = 1, .region = 1, .copied = 1 } };

	assert_int_equal(ct_store_put_command(s, argv), 0);
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "engine", "census" } });
	/* Out of order on purpose: the end, then the comm, then the start. */
	put(s, (struct ct_rec){ CT_REC_PROCESS_END, .process_end = { 1, CT_ENDED_KILLED, 99, 9 } });
	put(s, (struct ct_rec){ CT_REC_PROCESS_COMM, .process = { .id = 1, .comm = "new" } });
	put(s,
	    (struct ct_rec){ CT_REC_PROCESS, .process = { 1, 0, 100, 50, "old", "/bin/old", 5 } });
	put(s, (struct ct_rec){ CT_REC_MODULE, .module = { 1, "/bin/x", { 0xab, 0xcd }, 2 } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 7, 2, frames } });
	put(s, (struct ct_rec){ CT_REC_FORK_TIMES, .fork_times = { 1, 1000, 20, 30 } });
	put(s, (struct ct_rec){ CT_REC_FORK, .fork = { 1, 1, 2, 101, 7, "boot", "fork", 11, 12, 13,
						       14, 15, true, 1 } });
	put(s, (struct ct_rec){ CT_REC_FORK_END, .fork_end = { 1, 77, 3, CT_UNKNOWN } });
	put(s, side);
	side.side.copied = side.side.dropped = side.side.fresh = side.side.unknown = CT_UNKNOWN;
	side.side.end = CT_SIDE_END_KILLED;
	put(s, side);
	put(s,
	    (struct ct_rec){ CT_REC_REGION, .region = { 1, 1, 0x1000, 0x3000, CT_KIND_HEAP, "dict",
							true, 7, CT_THP_HUGEPAGE, CT_KSM_MERGEABLE,
							CT_FORK_WIPEONFORK, 6 } });
	put(s, count);
	count.region_count.copied = 2;
	put(s, count);
	put(s, (struct ct_rec){ CT_REC_TIMELINE, .timeline = { 1, 1, CT_SIDE_PARENT, 4 } });
	put(s, (struct ct_rec){ CT_REC_WITNESS, .witness = { 1, 1, 2, 4096, 1, "" } });
	put(s, (struct ct_rec){ CT_REC_EVENT, .event = { 1, "map", 1, 2, 0x1000, 4096, UINT64_MAX,
							 8, 9, 7, NULL } });
	put(s, (struct ct_rec){ CT_REC_RUNS, .runs = { 1, 2, runs } });
	put(s, (struct ct_rec){ CT_REC_NOTE, .note = { 1, 0, "warning", "code", "text" } });
	finish(f, s);

	assert_string_equal(query(f->path, "SELECT value FROM meta WHERE key IN"
					   "('command','engine') ORDER BY key"),
			    "[\"redis-server\",\"--port\",\"7 \\\"000\"];census;");
	assert_string_equal(query(f->path, "SELECT * FROM processes"),
			    "1|0|100|50|new|/bin/old|5|99|killed|9;");
	assert_string_equal(query(f->path, "SELECT id,path,hex(build_id) FROM modules"),
			    "1|/bin/x|ABCD;");
	assert_string_equal(query(f->path, "SELECT * FROM frames"),
			    "7|0|1|16;7|1|0|140733193392692;");
	assert_string_equal(query(f->path, "SELECT * FROM forks"),
			    "1|1|2|101|7|boot|fork|11|77|12|1000|20|30|13|14|15|1|3|-|1;");
	assert_string_equal(query(f->path, "SELECT * FROM sides"), "1|child|killed|0|-|-|-|-|0|0;");
	assert_string_equal(query(f->path, "SELECT * FROM regions"),
			    "1|1|4096|12288|heap|dict|1|7|hugepage|mergeable|wipeonfork|6;");
	assert_string_equal(query(f->path, "SELECT * FROM region_counts"),
			    "1|1|parent|0|0|2|0|0|0;");
	assert_string_equal(query(f->path, "SELECT * FROM timeline"), "1|1|parent|4;");
	assert_string_equal(query(f->path, "SELECT * FROM witnesses"), "1|1|2|4096|1|;");
	assert_string_equal(query(f->path, "SELECT * FROM events"),
			    "1|map|1|2|4096|4096|-1|8|9|7|-;");
	assert_string_equal(query(f->path, "SELECT * FROM runs"), "1|256|512|1;1|34359672832|1|2;");
	assert_string_equal(query(f->path, "SELECT * FROM notes"), "1|0|warning|code|text;");
}

/* Tables that are written many rows at a time: all of them, as they were last told. */
static void test_many_rows(void **state)
{
	enum { NR = 100 };
	struct fixture *f = *state;
	struct ct_store *s = create(f);
	struct ct_rec_run runs[NR];
	char name[300], expected[64];
	u32 i;

	for (i = 0; i < NR; i++) {
		struct ct_rec region = { .type = CT_REC_REGION, .region = { .id = i + 1 } };
		struct ct_rec count = { .type = CT_REC_REGION_COUNT,
					.region_count = { .fork = 1, .region = i + 1 } };

		/* Some names are too long to wait; the caller's are gone in the end. */
		memset(name, 'a' + i % 26, sizeof(name));
		name[i % 7 ? i : 290] = '\0';
		region.region.name = i % 10 ? name : NULL;
		put(s, region);
		memset(name, '!', sizeof(name));
		put(s, count);
		/* Told anew, in the same statement or a later one. */
		count.region_count.region = i / 2 + 1;
		count.region_count.copied = i;
		put(s, count);
		runs[i] = (struct ct_rec_run){ i * 2, 1, CT_RUN_SMALL };
	}
	put(s, (struct ct_rec){ CT_REC_RUNS, .runs = { 3, NR, runs } });
	assert_int_equal(ct_store_commit(s), 0);
	assert_string_equal(query(f->path, "SELECT count(*),sum(id) FROM regions"), "100|5050;");
	assert_string_equal(query(f->path, "SELECT count(*),sum(length(name)),sum(name GLOB '*!*')"
					   " FROM regions"),
			    "100|7605|0;");
	snprintf(expected, sizeof(expected), "100|%d;", 50 * 50);
	assert_string_equal(query(f->path, "SELECT count(*),sum(copied) FROM region_counts"),
			    expected);
	assert_string_equal(query(f->path, "SELECT count(*),sum(page),sum(pages) FROM runs"),
			    "100|9900|100;");
	finish(f, s);
}

static struct ct_rec a_write(u64 page)
{
	return (struct ct_rec){ CT_REC_WRITE,
				.write = { .process = 3,
					   .fork = 2,
					   .side = CT_SIDE_CHILD,
					   .t_ns = 10,
					   .page = page,
					   .pages = 1,
					   .site = 7,
					   .access = CT_ACCESS_USER,
					   .syscall = -1,
					   .pc = 0x1234,
					   .predicted = COWTRACE_COPY,
					   .observed = COWTRACE_COPY,
					   .reason = COWTRACE_REASON_EARLY_REFCOUNT,
					   .decides = COWTRACE_FIELD_LRU, /* the same: certain */
					   .likely = COWTRACE_REUSE } };
}

static void test_writes(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f);
	struct ct_rec r = a_write(100);

	put(s, r);
	/* A difference in what does not count is none. */
	r = a_write(101);
	r.write.decides = 0;
	put(s, r);
	/* The instruction alone is known, and why no more is. */
	r = a_write(102);
	r.write.no_site = CT_NO_BLOCKED_SIGNAL;
	put(s, r);
	/* No site: the reason and the address stand; a huge page, an uncertain verdict. */
	r = a_write(0x7ffff0000);
	r.write.pages = 512;
	r.write.site = 0;
	r.write.no_site = CT_NO_STACK;
	r.write.huge = true;
	r.write.access = CT_ACCESS_KERNEL;
	r.write.syscall = 0;
	r.write.side = CT_SIDE_PARENT;
	r.write.predicted = COWTRACE_UNCERTAIN;
	r.write.observed = COWTRACE_REUSE;
	put(s, r);
	put(s, (struct ct_rec){ CT_REC_UNATTRIBUTED,
				.unattributed = { 2, CT_SIDE_CHILD, CT_NO_FORK_WINDOW, 5 } });
	put(s, (struct ct_rec){ CT_REC_UNATTRIBUTED,
				.unattributed = { 2, CT_SIDE_CHILD, CT_NO_FORK_WINDOW, 6 } });
	put(s, (struct ct_rec){ CT_REC_UNATTRIBUTED,
				.unattributed = { 2, CT_SIDE_CHILD, CT_NO_KILLED, 1 } });
	put(s, (struct ct_rec){ CT_REC_THP_LOSS,
				.thp_loss = { 3, 0, 10, "munmap", 0x200000, 0x400000, 7 } });
	finish(f, s);

	assert_string_equal(query(f->path, "SELECT * FROM writes"),
			    "3|2|10|100|1|7|1|-|-;3|2|10|101|1|7|1|-|-;"
			    "3|2|10|102|1|7|2|-|-;3|2|10|34359672832|512|0|3|0|4660;");
	assert_string_equal(query(f->path, "SELECT * FROM write_kinds"),
			    "1|child|user|-|0|copy|early_refcount|-|-|copy;"
			    "2|child|user|blocked_signal|0|copy|early_refcount|-|-|copy;"
			    "3|parent|kernel|no_stack|1|uncertain|early_refcount|lru|reuse|reuse;");
	assert_string_equal(query(f->path, "SELECT * FROM first_writes WHERE page=101"),
			    "3|2|child|10|101|1|7|-|user|-|-|0|copy|early_refcount|-|-|copy;");
	assert_string_equal(query(f->path, "SELECT * FROM unattributed ORDER BY reason"),
			    "2|child|fork_window|6;2|child|killed|1;");
	assert_string_equal(query(f->path, "SELECT * FROM thp_losses"),
			    "3|0|10|munmap|2097152|4194304|7;");
}

/* Every kind comes back as it was put, also when there are more than are remembered. */
static void test_kinds_without_end(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f);
	char want[128];
	u32 nr = 0;

	for (int round = 0; round < 2; round++)
		for (int reason = 0; reason < COWTRACE_NR_REASONS; reason++)
			for (int likely = 0; likely < COWTRACE_NR_ACTIONS; likely++)
				for (int access = 0; access < 3; access++) {
					struct ct_rec r = a_write(++nr);

					r.write.predicted = COWTRACE_UNCERTAIN;
					r.write.reason = reason;
					r.write.likely = likely;
					r.write.access = access;
					/* What it was, in a column that is not of the kind. */
					r.write.site = 1 + reason;
					r.write.fork = likely;
					r.write.process = access;
					put(s, r);
				}
	finish(f, s);
	assert_true(nr / 2 > CT_KINDS_KEPT);
	snprintf(want, sizeof(want), "%u|%u;", nr, COWTRACE_NR_REASONS);
	assert_string_equal(query(f->path, "SELECT count(*),count(DISTINCT reason)"
					   " FROM first_writes"),
			    want);
	/* One word for each number: nothing was mixed up. */
	assert_string_equal(
		query(f->path, "SELECT count(*) FROM (SELECT DISTINCT site,reason FROM"
			       " first_writes UNION ALL SELECT DISTINCT fork,likely FROM"
			       " first_writes UNION ALL SELECT DISTINCT process,access FROM"
			       " first_writes)"),
		(snprintf(want, sizeof(want), "%u;", COWTRACE_NR_REASONS + COWTRACE_NR_ACTIONS + 3),
		 want));
}

static void test_visible_after_commit(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f);

	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { .id = 1, .pid = 100 } });
	assert_string_equal(query(f->path, "SELECT pid FROM processes"), "");
	assert_int_equal(ct_store_commit(s), 0);
	assert_string_equal(query(f->path, "SELECT pid FROM processes"), "100;");
	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { .id = 2, .pid = 101 } });
	ct_store_destroy(s);
	/* Not finished: the open batch is gone, the file says it is incomplete. */
	assert_string_equal(query(f->path, "SELECT pid FROM processes"), "100;");
	assert_string_equal(query(f->path, "SELECT value FROM meta WHERE key='complete'"), "0;");
}

static void test_finish_incomplete(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f);

	assert_int_equal(ct_store_finish(s, "the program vanished", &f->err), 0);
	assert_string_equal(
		query(f->path, "SELECT value FROM meta WHERE key IN('complete','why_incomplete')"),
		"0;the program vanished;");
}

static void test_finish_beside_a_reader(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f);
	sqlite3_stmt *st;
	sqlite3 *db;

	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { .id = 1, .pid = 100 } });
	assert_int_equal(ct_store_commit(s), 0);
	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT pid FROM processes", -1, &st, NULL), 0);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	finish(f, s);
	sqlite3_finalize(st);
	sqlite3_close(db);
	assert_string_equal(query(f->path, "SELECT value FROM meta WHERE key='complete'"), "1;");
}

/* A report that is at work when the recording ends costs it nothing but a moment. */
static void test_finish_waits_for_a_reader(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f);
	int status;
	pid_t pid;
	int fds[2];
	char c;

	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { .id = 1, .pid = 100 } });
	assert_int_equal(ct_store_commit(s), 0);
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		sqlite3 *db;

		if (sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL) ||
		    sqlite3_exec(db, "BEGIN; SELECT * FROM meta", NULL, NULL, NULL) ||
		    write(fds[1], "x", 1) != 1)
			_exit(1);
		usleep(300000);
		_exit(sqlite3_close(db));
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	finish(f, s);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(nr_files(f->dir), 1);
	close(fds[0]);
	close(fds[1]);
}

static void write_file(const char *path, const char *text)
{
	FILE *fp = fopen(path, "w");

	assert_non_null(fp);
	fputs(text, fp);
	fclose(fp);
}

static void test_refuses_what_is_not_ours(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = NULL;
	char buf[64] = "";
	sqlite3 *db;
	FILE *fp;

	write_file(f->path, "precious");
	assert_int_equal(ct_store_create(f->path, &s, &f->err), -EEXIST);
	assert_non_null(strstr(f->err.text, "not a cowtrace trace"));
	fp = fopen(f->path, "r");
	assert_non_null(fgets(buf, sizeof(buf), fp));
	fclose(fp);
	assert_string_equal(buf, "precious");
	assert_int_equal(nr_files(f->dir), 1);

	/* Somebody else's SQLite database is not ours either. */
	unlink(f->path);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_exec(db, "CREATE TABLE t(a)", NULL, NULL, NULL);
	sqlite3_close(db);
	assert_int_equal(ct_store_create(f->path, &s, &f->err), -EEXIST);

	assert_int_equal(ct_store_create(f->dir, &s, &f->err), -EEXIST);
	assert_int_equal(ct_store_create("/dev/full", &s, &f->err), -EEXIST);
	assert_int_equal(ct_store_create("", &s, &f->err), -ENOENT);
	snprintf(f->path, sizeof(f->path), "%s/none/a", f->dir);
	assert_int_equal(ct_store_create(f->path, &s, &f->err), -ENOENT);
	assert_non_null(strstr(f->err.text, "there is no folder"));
	assert_null(s);
}

static void test_replaces_a_trace(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s = create(f), *t = NULL;
	struct stat st;
	char wal[128];

	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { .id = 1, .pid = 100 } });
	finish(f, s);
	s = create(f);
	assert_string_equal(query(f->path, "SELECT pid FROM processes"), "");
	finish(f, s);

	/* The WAL of a killed recording does not leak into the next one. */
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	write_file(wal, "what a killed recorder left");
	s = create(f);
	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { .id = 2, .pid = 102 } });
	assert_int_equal(ct_store_commit(s), 0);
	assert_string_equal(query(f->path, "SELECT pid FROM processes"), "102;");
	finish(f, s);
	assert_int_equal(nr_files(f->dir), 1);

	/* An empty file (mktemp) and a link are fine; the link stays a link. */
	assert_int_equal(truncate(f->path, 0), 0);
	snprintf(wal, sizeof(wal), "%s/link", f->dir);
	assert_int_equal(symlink(f->path, wal), 0);
	assert_int_equal(ct_store_create(wal, &t, &f->err), 0);
	finish(f, t);
	assert_int_equal(lstat(wal, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_string_equal(query(f->path, "SELECT value FROM meta WHERE key='complete'"), "1;");
}

/* Until the disk is full; returns how many records were taken. */
static u32 fill(struct ct_store *s, int *ret_rc)
{
	u32 n = 0;

	for (*ret_rc = 0; !*ret_rc; n++) {
		struct ct_rec rec = { CT_REC_PROCESS,
				      .process = { .id = n + 1, .comm = "filler" } };

		*ret_rc = ct_store_put(s, &rec);
		if (!*ret_rc && n % 100 == 99)
			*ret_rc = ct_store_commit(s);
	}
	return n;
}

/* The same on a disk of `kib`. */
static void on_a_full_disk(struct fixture *f, int kib)
{
	struct ct_store *s = NULL;
	char opts[32], why[600];
	int rc;

	snprintf(opts, sizeof(opts), "size=%dk", kib);
	assert_int_equal(mount("tmpfs", f->dir, "tmpfs", 0, opts), 0);
	rc = ct_store_create(f->path, &s, &f->err);
	if (rc) {
		/* Too small even for an empty trace: then there is nothing. */
		assert_int_equal(rc, -ENOSPC);
		assert_int_equal(nr_files(f->dir), 0);
	} else {
		assert_true(fill(s, &rc) > 0);
		assert_int_equal(rc, -ENOSPC);
		assert_non_null(strstr(ct_store_error(s), "no space left"));
		assert_int_equal(ct_store_commit(s), -ENOSPC);
		assert_int_equal(ct_store_finish(s, NULL, &f->err), -ENOSPC);
		assert_non_null(strstr(f->err.text, "no space left"));
		snprintf(why, sizeof(why), "0;%s;", f->err.text);
		assert_string_equal(query(f->path, "SELECT value FROM meta WHERE key IN"
						   "('complete','why_incomplete')"),
				    why);
	}
	assert_int_equal(umount(f->dir), 0);
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		print_message("SKIP: no mounts here: %s\n", strerror(errno));
		skip();
	}
	for (int kib = 4; kib <= 4096; kib = kib < 700 ? kib + 36 : kib * 2)
		on_a_full_disk(f, kib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_visible_after_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_finish_incomplete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_finish_beside_a_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_finish_waits_for_a_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses_what_is_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaces_a_trace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
