/* SPDX-License-Identifier: MIT */
/*
 * The reader on what is no trace, on what is half of one, and on what a killed
 * writer left: everything that was committed is there, and every other file has
 * its own error and sentence.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>
#include <sqlite3.h>

#include <cowtrace/policy.h>

#include "store/reader.h"
#include "store/schema.h"
#include "store/store.h"

struct fixture {
	char dir[64];
	char path[96];
	struct ct_err err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/ct-reader-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/a #%%?.cowtrace", f->dir);
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

static void put(struct ct_store *s, struct ct_rec rec)
{
	if (ct_store_put(s, &rec))
		fail_msg("put: %s", ct_store_error(s));
}

static struct ct_store *create(struct fixture *f)
{
	struct ct_store *s = NULL;

	if (ct_store_create(f->path, &s, &f->err))
		fail_msg("create: %s", f->err.text);
	return s;
}

/* A finished trace with `n` processes and forks. */
static void make(struct fixture *f, u32 n)
{
	struct ct_store *s = create(f);

	for (u32 i = 1; i <= n; i++) {
		put(s, (struct ct_rec){ CT_REC_PROCESS,
					.process = { .id = i, .pid = (s32)i, .comm = "x" } });
		put(s, (struct ct_rec){ CT_REC_FORK, .fork = { .id = i, .parent = 1 } });
		put(s, (struct ct_rec){ CT_REC_SIDE, .side = { i, CT_SIDE_PARENT, .copied = i } });
		put(s, (struct ct_rec){ CT_REC_SIDE,
					.side = { i, CT_SIDE_CHILD, .copied = CT_UNKNOWN } });
	}
	assert_int_equal(ct_store_finish(s, NULL, &f->err), 0);
}

static struct ct_trace *load(struct fixture *f)
{
	struct ct_trace *t = NULL;
	int rc = ct_trace_load(f->path, &t, &f->err);

	if (rc)
		fail_msg("load: %d %s", rc, f->err.text);
	return t;
}

static void assert_refused(struct fixture *f, int code, const char *word)
{
	struct ct_trace *t = NULL;

	memset(&f->err, 0, sizeof(f->err));
	assert_int_equal(ct_trace_load(f->path, &t, &f->err), code);
	assert_null(t);
	if (!strstr(f->err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", f->err.text, word);
	/* One line. */
	assert_null(strchr(f->err.text, '\n'));
}

static void write_bytes(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static void poke(const char *path, off_t at, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db;
	char *msg = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &msg))
		fail_msg("%s: %s", text, msg);
	sqlite3_close(db);
}

static void test_lookups(void **state)
{
	struct fixture *f = *state;
	struct ct_trace *t;

	make(f, 300);
	t = load(f);
	assert_true(t->complete);
	assert_int_equal(t->writer_pid, 0);
	assert_int_equal(t->nr_processes, 300);
	assert_int_equal(t->nr_sides, 600);
	for (u32 i = 1; i <= 300; i++) {
		assert_int_equal(ct_trace_fork(t, i)->id, i);
		assert_int_equal(ct_trace_side(t, i, CT_SIDE_PARENT)->copied, i);
		assert_int_equal(ct_trace_side(t, i, CT_SIDE_CHILD)->copied, CT_UNKNOWN);
	}
	assert_null(ct_trace_fork(t, 0));
	assert_null(ct_trace_fork(t, 301));
	assert_null(ct_trace_side(t, 301, CT_SIDE_PARENT));
	ct_trace_destroy(t);
}

static void test_kinds_of_bad_files(void **state)
{
	struct fixture *f = *state;
	u8 newer[4] = { 0, 0, 0, CT_SCHEMA_VERSION + 1 };
	char *path = strdup(f->path);

	assert_refused(f, -ENOENT, "there is no file");
	write_bytes(f->path, "", 0);
	assert_refused(f, -ENODATA, "empty");
	write_bytes(f->path, "hello", 5);
	assert_refused(f, -EMEDIUMTYPE, "not a cowtrace trace");
	write_bytes(f->path, "SQLite", 6);
	assert_refused(f, -EBADMSG, "truncated");
	unlink(f->path);
	sql(f->path, "CREATE TABLE t(a)");
	assert_refused(f, -EMEDIUMTYPE, "not a cowtrace trace");
	unlink(f->path);
	make(f, 3);
	poke(f->path, 60, newer, sizeof(newer));
	assert_refused(f, -EPROTO, "newer cowtrace");
	unlink(f->path);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_refused(f, -EMEDIUMTYPE, "not a cowtrace trace");
	strcpy(f->path, f->dir);
	assert_refused(f, -EISDIR, "folder");
	strcpy(f->path, path);
	free(path);
}

/* As an ordinary user: root may read everything. */
static void test_no_permission(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	make(f, 1);
	chmod(f->dir, 0755);
	chmod(f->path, 0);
	pid = fork();
	if (!pid) {
		struct ct_trace *t = NULL;

		if (!geteuid() && setuid(65534))
			_exit(9);
		_exit(ct_trace_load(f->path, &t, &f->err) != -EACCES);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void test_truncated_anywhere(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make(f, 500);
	assert_int_equal(stat(f->path, &st), 0);
	for (off_t len = st.st_size - 1; len > 0; len -= 1 + len / 23) {
		struct ct_trace *t = NULL;
		int rc;

		assert_int_equal(truncate(f->path, len), 0);
		rc = ct_trace_load(f->path, &t, &f->err);
		if (rc != -EBADMSG)
			fail_msg("cut to %lld: %d %s", (long long)len, rc, f->err.text);
	}
}

/*
 * Bytes changed at random never crash the reader, and never make it say that a
 * file is whole while rows are missing from its tables without an error.
 */
static void test_garbage_inside(void **state)
{
	struct fixture *f = *state;
	unsigned seed = (unsigned)time(NULL);
	struct stat st;
	char *good;
	int fd, refused = 0;

	make(f, 200);
	assert_int_equal(stat(f->path, &st), 0);
	good = malloc((size_t)st.st_size);
	fd = open(f->path, O_RDONLY);
	assert_int_equal(read(fd, good, (size_t)st.st_size), st.st_size);
	close(fd);
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < 300; i++) {
		struct ct_trace *t = NULL;

		write_bytes(f->path, good, (size_t)st.st_size);
		for (int n = 0; n < 1 + i % 40; n++) {
			u8 byte = (u8)random();

			poke(f->path, 100 + random() % (st.st_size - 100), &byte, 1);
		}
		if (ct_trace_load(f->path, &t, &f->err))
			refused++;
		ct_trace_destroy(t);
	}
	free(good);
	assert_true(refused > 0);
}

static void test_impossible_values(void **state)
{
	struct fixture *f = *state;

	make(f, 3);
	sql(f->path, "UPDATE forks SET pages_shared=-5 WHERE id=2");
	assert_refused(f, -EBADMSG, "row 2 of table forks");
	sql(f->path, "UPDATE forks SET pages_shared='many' WHERE id=2");
	assert_refused(f, -EBADMSG, "row 2 of table forks");
	sql(f->path, "UPDATE forks SET pages_shared=5, parent=5000000000 WHERE id=2");
	assert_refused(f, -EBADMSG, "row 2 of table forks");
	sql(f->path, "UPDATE forks SET parent=1 WHERE id=2; UPDATE sides SET side='both'"
		     " WHERE fork=1 AND side='child'");
	assert_refused(f, -EBADMSG, "table sides");
	sql(f->path, "DROP TABLE sides");
	assert_refused(f, -EBADMSG, "damaged");
}

/* Three writes of two kinds, and who says why copies have no site. */
static void make_writes(struct fixture *f)
{
	struct ct_store *s = create(f);
	struct ct_rec w = { CT_REC_WRITE, .write = { .process = 3,
						     .fork = 2,
						     .side = CT_SIDE_CHILD,
						     .t_ns = 10,
						     .page = 0x7ffff0000,
						     .pages = 1,
						     .site = 7,
						     .access = CT_ACCESS_USER,
						     .syscall = -1,
						     .predicted = COWTRACE_COPY,
						     .observed = COWTRACE_COPY,
						     .reason = COWTRACE_REASON_EARLY_REFCOUNT } };

	put(s, w);
	w.write.side = CT_SIDE_PARENT;
	w.write.site = 0;
	w.write.no_site = CT_NO_KERNEL_WRITE;
	w.write.access = CT_ACCESS_KERNEL;
	w.write.syscall = 0;
	w.write.pc = 0x1234;
	w.write.predicted = COWTRACE_UNCERTAIN;
	w.write.decides = COWTRACE_FIELD_REFCOUNT;
	w.write.likely = COWTRACE_COPY;
	w.write.observed = COWTRACE_UNCERTAIN;
	w.write.pages = 512;
	w.write.huge = true;
	put(s, w);
	w.write.t_ns = CT_UNKNOWN;
	put(s, w);
	put(s, (struct ct_rec){ CT_REC_UNATTRIBUTED,
				.unattributed = { 2, CT_SIDE_CHILD, CT_NO_KILLED, 5 } });
	assert_int_equal(ct_store_finish(s, NULL, &f->err), 0);
}

struct seen {
	struct ct_trace_write w[3];
	int nr, stop_at;
};

static int see(void *ctx, const struct ct_trace_write *w)
{
	struct seen *s = ctx;

	s->w[s->nr++] = *w;
	return s->nr == s->stop_at ? -EINTR : 0;
}

static void test_writes(void **state)
{
	struct fixture *f = *state;
	struct seen s = { .nr = 0 }, some = { .stop_at = 2 };
	struct ct_trace *t;

	make_writes(f);
	t = load(f);
	assert_int_equal(ct_trace_writes(t, f->path, see, &s, &f->err), 0);
	assert_int_equal(s.nr, 3);
	assert_int_equal(s.w[0].process, 3);
	assert_int_equal(s.w[0].fork, 2);
	assert_int_equal(s.w[0].t_ns, 10);
	assert_true(s.w[0].page == 0x7ffff0000);
	assert_int_equal(s.w[0].pages, 1);
	assert_int_equal(s.w[0].site, 7);
	assert_int_equal(s.w[0].syscall, -1);
	assert_int_equal(s.w[0].kind->side, CT_SIDE_CHILD);
	assert_int_equal(s.w[0].kind->predicted, COWTRACE_COPY);
	assert_string_equal(s.w[0].kind->reason, "early_refcount");
	assert_string_equal(s.w[0].kind->decides, "");
	assert_string_equal(s.w[0].kind->no_site, "");
	assert_false(s.w[0].kind->huge);
	assert_int_equal(s.w[1].site, 0);
	assert_int_equal(s.w[1].syscall, 0);
	assert_int_equal(s.w[1].pages, 512);
	assert_int_equal(s.w[1].pc, 0x1234);
	assert_int_equal(s.w[1].kind->access, CT_ACCESS_KERNEL);
	assert_int_equal(s.w[1].kind->predicted, COWTRACE_UNCERTAIN);
	assert_int_equal(s.w[1].kind->likely, COWTRACE_COPY);
	assert_int_equal(s.w[1].kind->observed, COWTRACE_UNCERTAIN);
	assert_string_equal(s.w[1].kind->decides, "refcount");
	assert_string_equal(s.w[1].kind->no_site, "kernel_write");
	assert_true(s.w[1].kind->huge);
	assert_ptr_equal(s.w[2].kind, s.w[1].kind);
	assert_int_equal(t->nr_unattributed, 1);
	assert_string_equal(t->unattributed[0].reason, "killed");
	assert_int_equal(t->unattributed[0].pages, 5);

	assert_int_equal(ct_trace_writes(t, f->path, see, &some, &f->err), -EINTR);
	assert_int_equal(some.nr, 2);
	ct_trace_close_file(t);
	assert_int_equal(ct_trace_writes(t, f->path, see, &some, &f->err), -EBADF);
	ct_trace_destroy(t);
}

static int stream(struct fixture *f)
{
	struct ct_trace *t = load(f);
	struct seen s = { .nr = 0 };
	int rc = ct_trace_writes(t, f->path, see, &s, &f->err);

	ct_trace_destroy(t);
	return rc;
}

static void test_impossible_writes(void **state)
{
	static const char *const bad[] = {
		"UPDATE writes SET kind=99 WHERE rowid=2",
		"UPDATE writes SET pages=0 WHERE rowid=2",
		"UPDATE writes SET pages=300000 WHERE rowid=2",
		"UPDATE writes SET page=-1 WHERE rowid=2",
		"UPDATE writes SET site=5000000000 WHERE rowid=2",
		"UPDATE writes SET syscall=-2 WHERE rowid=2",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ct_array_size(bad); i++) {
		make_writes(f);
		sql(f->path, bad[i]);
		assert_int_equal(stream(f), -EBADMSG);
		assert_non_null(strstr(f->err.text, "row 2 of table writes"));
	}
	make_writes(f);
	sql(f->path, "UPDATE write_kinds SET side='both'");
	assert_refused(f, -EBADMSG, "row 1 of table write_kinds");
	/* Words of a later version are no damage. */
	make_writes(f);
	sql(f->path, "UPDATE write_kinds SET access='new', no_site='new', predicted='new',"
		     " reason='new', observed='new'; UPDATE unattributed SET reason='new'");
	assert_int_equal(stream(f), 0);
}

/* What yesterday's recorder wrote, in the same version. */
static void test_without_the_later_tables(void **state)
{
	struct fixture *f = *state;
	struct ct_trace *t;

	make(f, 2);
	sql(f->path, "DROP VIEW first_writes; DROP TABLE writes; DROP TABLE write_kinds;"
		     " DROP TABLE unattributed");
	t = load(f);
	assert_int_equal(t->nr_kinds + t->nr_unattributed, 0);
	assert_int_equal(t->nr_forks, 2);
	assert_int_equal(ct_trace_writes(t, f->path, see, NULL, &f->err), 0);
	ct_trace_destroy(t);
}

static void test_while_written(void **state)
{
	struct fixture *f = *state;
	struct ct_store *s;
	struct ct_trace *t;
	int status;
	pid_t pid;

	/* In a child: POSIX locks do not conflict within a process. */
	s = create(f);
	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { .id = 1, .pid = 7 } });
	assert_int_equal(ct_store_commit(s), 0);
	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { .id = 2, .pid = 8 } });
	fflush(NULL);
	pid = fork();
	if (!pid) {
		struct ct_err err = { "" };

		if (ct_trace_load(f->path, &t, &err))
			_exit(1);
		if (t->complete || t->nr_processes != 1 || t->writer_pid != getppid())
			_exit(2);
		/* Nor can it be recorded over. */
		_exit(ct_store_create(f->path, &s, &err) != -EBUSY);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(ct_store_finish(s, NULL, &f->err), 0);
	t = load(f);
	assert_true(t->complete);
	assert_int_equal(t->nr_processes, 2);
	ct_trace_destroy(t);
}

#define RUNS_PER_BATCH 2000

/* Batch n: process n, and a heap of runs so that checkpoints happen too. */
static void put_batch(struct ct_store *s, u32 n, struct ct_rec_run *runs)
{
	struct ct_rec rec = { CT_REC_PROCESS, .process = { .id = n, .pid = (s32)n } };
	struct ct_rec all = { CT_REC_RUNS, .runs = { n, RUNS_PER_BATCH, runs } };

	for (u32 i = 0; i < RUNS_PER_BATCH; i++)
		runs[i] = (struct ct_rec_run){ i * 8 + n, 1 + i % 7, CT_RUN_SMALL };
	if (ct_store_put(s, &rec) || ct_store_put(s, &all) || ct_store_commit(s))
		_exit(1);
}

/* Writes batches and reports each on fd, until it is killed. */
static void write_until_killed(const char *path, int fd)
{
	static struct ct_rec_run runs[RUNS_PER_BATCH];
	struct ct_store *s;
	struct ct_err err;

	if (ct_store_create(path, &s, &err))
		_exit(1);
	for (u32 n = 1;; n++) {
		put_batch(s, n, runs);
		if (write(fd, &n, sizeof(n)) != sizeof(n))
			_exit(1);
	}
}

/* Starts a writer and kills it after `us`; returns the last batch it reported. */
static u32 kill_a_writer(struct fixture *f, useconds_t us)
{
	u32 n = 0, last = 0;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	if (!pid)
		write_until_killed(f->path, fds[1]);
	close(fds[1]);
	/* From the first batch on, so that the instant is within the writing. */
	assert_int_equal(read(fds[0], &n, sizeof(n)), sizeof(n));
	last = n;
	usleep(us);
	kill(pid, SIGKILL);
	while (read(fds[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	close(fds[0]);
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	return last;
}

static u64 count_rows(const char *path, const char *text)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	u64 n;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = (u64)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static struct ct_trace *check_torn(struct fixture *f, u32 last)
{
	struct ct_trace *t = load(f);

	assert_false(t->complete);
	assert_int_equal(t->writer_pid, 0);
	assert_non_null(strstr(t->why_incomplete, "has not finished"));
	/* All that was reported; the batch in flight may have made it too, whole. */
	if (t->nr_processes != last && t->nr_processes != last + 1)
		fail_msg("%zu batches of %u", t->nr_processes, last);
	return t;
}

static void test_killed_writer(void **state)
{
	struct fixture *f = *state;
	unsigned seed = (unsigned)time(NULL);

	print_message("seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < 50; i++) {
		/* Long enough now and then for a checkpoint: each 16 MiB. */
		u32 last = kill_a_writer(f, (useconds_t)(random() % (i % 8 ? 30000 : 400000)));

		struct ct_trace *t = check_torn(f, last);

		assert_int_equal(count_rows(f->path, "SELECT count(*) FROM runs"),
				 t->nr_processes * RUNS_PER_BATCH);
		ct_trace_destroy(t);
		/* And the next recording takes its place. */
	}
}

/* The copy that somebody keeps where SQLite may write nothing. */
static void test_read_only_folder(void **state)
{
	struct fixture *f = *state;
	char shm[128];
	u32 last = kill_a_writer(f, 5000);

	for (int with_shm = 1; with_shm >= 0; with_shm--) {
		snprintf(shm, sizeof(shm), "%s-shm", f->path);
		if (!with_shm)
			unlink(shm);
		/* In a name space of our own: nothing stays mounted if this dies. */
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount(f->dir, f->dir, NULL, MS_BIND, NULL) ||
		    mount(NULL, f->dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL)) {
			print_message("SKIP: no mounts here: %s\n", strerror(errno));
			skip();
		}
		ct_trace_destroy(check_torn(f, last));
		assert_int_equal(umount(f->dir), 0);
		if (!with_shm)
			assert_int_equal(access(shm, F_OK), -1);
	}
}

/* Moved without its WAL: says incomplete, has what was checkpointed, leaves no files. */
static void test_without_its_wal(void **state)
{
	struct fixture *f = *state;
	char name[128];
	struct ct_trace *t;

	kill_a_writer(f, 5000);
	snprintf(name, sizeof(name), "%s-wal", f->path);
	unlink(name);
	snprintf(name, sizeof(name), "%s-shm", f->path);
	unlink(name);
	t = load(f);
	assert_false(t->complete);
	ct_trace_destroy(t);
	assert_int_equal(access(name, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lookups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_of_bad_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_permission, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_impossible_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_impossible_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_the_later_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_while_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_its_wal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
