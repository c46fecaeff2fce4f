/* SPDX-License-Identifier: MIT */
/*
 * The writer of a trace: creation, batches, the end.  What a record becomes is
 * in put.c; which file may be replaced is in place.c.
 *
 * Invariant: from the rename that makes the file appear until the last commit of
 * ct_store_finish(), every state a reader can see says "incomplete".  After the
 * first failure nothing more is written but the reason.
 */
#include <errno.h>
#include <string.h>

#include "store/schema.h"
#include "store/sqerr.h"
#include "store/writer.h"

static int exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int set_meta(sqlite3 *db, const char *key, const char *value)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, ct_stmt_sql[CT_STMT_META], -1, &st, NULL);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, value, -1, SQLITE_STATIC);
	sqlite3_step(st);
	return sqlite3_finalize(st);
}

static int build_schema(sqlite3 *db)
{
	char pragma[64];
	int rc = exec(db, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; BEGIN");

	for (size_t i = 0; rc == SQLITE_OK && ct_schema_sql[i]; i++)
		rc = exec(db, ct_schema_sql[i]);
	snprintf(pragma, sizeof(pragma), "PRAGMA application_id=%d", CT_SCHEMA_APPLICATION_ID);
	if (rc == SQLITE_OK)
		rc = exec(db, pragma);
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%d", CT_SCHEMA_VERSION);
	if (rc == SQLITE_OK)
		rc = exec(db, pragma);
	if (rc == SQLITE_OK)
		rc = set_meta(db, CT_META_COMPLETE, "0");
	if (rc == SQLITE_OK)
		rc = set_meta(db, CT_META_WHY, CT_WHY_UNFINISHED);
	return rc == SQLITE_OK ? exec(db, "COMMIT") : rc;
}

/* The empty trace, under its temporary name and in one file: no WAL yet. */
static int build_temp(const struct ct_place *p, struct ct_err *err)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(p->temp, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	int ret = 0;

	if (rc == SQLITE_OK)
		rc = build_schema(db);
	if (rc != SQLITE_OK)
		ret = ct_sqerr_set(err, db, rc, p->path);
	sqlite3_close(db);
	return ret;
}

static int prepare_all(struct ct_store *s)
{
	int rc = SQLITE_OK;

	for (int i = 0; i < CT_STMT_NR && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(s->db, ct_stmt_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
					&s->stmt[i], NULL);
	return rc;
}

static int open_wal(struct ct_store *s)
{
	int rc = sqlite3_open_v2(s->place.path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				 NULL);

	if (rc != SQLITE_OK)
		return rc;
	/* A reader that recovers the WAL locks us out for a moment. */
	sqlite3_busy_timeout(s->db, 5000);
	/*
	 * Where shared memory does not work (network file systems) journal_mode
	 * stays what it was: rollback journal, slower, as safe.  NORMAL: fsync at
	 * checkpoints only; what the page cache has survives our own death.
	 */
	rc = exec(s->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
			 "PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-4096;"
			 "PRAGMA temp_store=MEMORY");
	if (rc == SQLITE_OK)
		rc = prepare_all(s);
	/* Finds out now, not at the first commit, that the WAL cannot be written. */
	if (rc == SQLITE_OK)
		rc = set_meta(s->db, CT_META_WHY, CT_WHY_UNFINISHED);
	return rc;
}

int ct_store_create(const char *path, struct ct_store **ret_store, struct ct_err *err)
{
	struct ct_store *s = calloc(1, sizeof(*s));
	int rc, ret;

	if (!s)
		return ct_err_set(err, -ENOMEM, "not enough memory to create %s", path);
	ret = ct_place_claim(path, &s->place, err);
	if (ret) {
		free(s);
		return ret;
	}
	ret = build_temp(&s->place, err);
	if (!ret)
		ret = ct_place_take(&s->place, err);
	if (!ret) {
		rc = open_wal(s);
		if (rc != SQLITE_OK)
			ret = ct_sqerr_set(err, s->db, rc, s->place.path);
	}
	if (ret) {
		sqlite3_close_v2(s->db);
		s->db = NULL;
		ct_place_remove(&s->place);
		ct_store_destroy(s);
		return ret;
	}
	*ret_store = s;
	return 0;
}

/* The disk is full, or worse: gives up the open batch and writes down why. */
static int fail(struct ct_store *s, int rc)
{
	s->failed = ct_sqerr_set(&s->why, s->db, rc, s->place.path);
	if (!sqlite3_get_autocommit(s->db))
		exec(s->db, "ROLLBACK");
	s->in_batch = false;
	ct_place_release_reserve(&s->place);
	/* Best effort: without this the file still says that it is incomplete. */
	set_meta(s->db, CT_META_WHY, s->why.text);
	return s->failed;
}

void ct_store_stop(struct ct_store *s, const char *why)
{
	if (ct_store_commit(s))
		return;
	s->failed = ct_err_set(&s->why, -EDQUOT, "%s", why);
	ct_place_release_reserve(&s->place);
	set_meta(s->db, CT_META_WHY, why);
}

void ct_store_keep_wal(struct ct_store *s, u64 len)
{
	char pragma[128];
	const u64 pages = ct_max(len / CT_PAGE_SIZE, 16UL);

	snprintf(pragma, sizeof(pragma),
		 "PRAGMA wal_autocheckpoint=%llu; PRAGMA journal_size_limit=%llu",
		 (unsigned long long)pages, (unsigned long long)(pages * CT_PAGE_SIZE));
	exec(s->db, pragma);
}

static int begin(struct ct_store *s)
{
	int rc;

	if (s->in_batch)
		return SQLITE_OK;
	rc = ct_put_step(s->stmt[CT_STMT_BEGIN]);
	s->in_batch = rc == SQLITE_OK;
	return rc;
}

int ct_store_put(struct ct_store *s, const struct ct_rec *rec)
{
	int rc;

	if (s->failed)
		return s->failed;
	rc = begin(s);
	if (rc == SQLITE_OK)
		rc = ct_put_rec(s, rec);
	return rc == SQLITE_OK ? 0 : fail(s, rc);
}

int ct_store_put_command(struct ct_store *s, char *const argv[])
{
	struct ct_rec rec = { .type = CT_REC_META };
	sqlite3_stmt *st = NULL;
	int rc;

	rec.meta.key = CT_META_COMMAND;
	rec.meta.value = "[]";
	rc = ct_store_put(s, &rec);
	if (rc)
		return rc;
	rc = sqlite3_prepare_v2(
		s->db,
		"UPDATE meta SET value=json_insert(value,'$[#]',?1) WHERE key='" CT_META_COMMAND
		"'",
		-1, &st, NULL);
	for (; rc == SQLITE_OK && *argv; argv++) {
		sqlite3_bind_text(st, 1, *argv, -1, SQLITE_STATIC);
		rc = ct_put_step(st);
	}
	sqlite3_finalize(st);
	return rc == SQLITE_OK ? 0 : fail(s, rc);
}

int ct_store_commit(struct ct_store *s)
{
	int rc;

	if (s->failed)
		return s->failed;
	if (!s->in_batch)
		return 0;
	rc = ct_put_waiting(s);
	if (rc == SQLITE_OK)
		rc = ct_put_step(s->stmt[CT_STMT_COMMIT]);
	if (rc != SQLITE_OK)
		return fail(s, rc);
	s->in_batch = false;
	return 0;
}

/* One transaction: a reader sees both or neither. */
static int mark(struct ct_store *s, const char *why)
{
	int rc = begin(s);

	if (rc == SQLITE_OK)
		rc = set_meta(s->db, CT_META_COMPLETE, why ? "0" : "1");
	if (rc == SQLITE_OK)
		rc = set_meta(s->db, CT_META_WHY, why ? why : "");
	if (rc != SQLITE_OK)
		return fail(s, rc);
	return ct_store_commit(s);
}

static void finalize_all(struct ct_store *s)
{
	for (int i = 0; i < CT_STMT_NR; i++) {
		sqlite3_finalize(s->stmt[i]);
		s->stmt[i] = NULL;
	}
}

int ct_store_finish(struct ct_store *s, const char *why_incomplete, struct ct_err *err)
{
	int ret = s->failed ? s->failed : mark(s, why_incomplete);

	finalize_all(s);
	/*
	 * Back to one file.  A report reads for less than these two seconds; with a
	 * reader that stays, or no space for the checkpoint, the trace remains two
	 * files, which are right together.
	 */
	sqlite3_busy_timeout(s->db, 2000);
	exec(s->db, "PRAGMA journal_mode=DELETE");
	if (ret)
		*err = s->why;
	ct_store_destroy(s);
	return ret;
}

void ct_store_destroy(struct ct_store *s)
{
	if (!s)
		return;
	finalize_all(s);
	/* An open batch is rolled back. */
	sqlite3_close(s->db);
	ct_place_fini(&s->place);
	free(s);
}

const char *ct_store_error(const struct ct_store *s)
{
	return s->failed ? s->why.text : NULL;
}
