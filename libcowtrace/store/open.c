/* SPDX-License-Identifier: MIT */
/*
 * Opens a trace for reading, and tells apart what can be wrong with it before
 * SQLite sees it, because SQLite has one sentence for most of that.
 *
 * A trace that was never finished has a WAL beside it.  Reading that needs a
 * shared-memory file; where neither exists nor can be made (read-only folder)
 * both are copied to a temporary folder and read there.
 *
 * Invariant: the trace and its WAL are only ever opened for reading.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "store/load.h"
#include "store/schema.h"
#include "store/sqerr.h"

static int not_a_trace(const char *path, struct ct_err *err)
{
	return ct_err_set(err, -EMEDIUMTYPE,
			  "%s is not a cowtrace trace: give the file that "
			  "`cowtrace record -o` wrote",
			  path);
}

static int truncated(const char *path, struct ct_err *err)
{
	return ct_err_set(err, -EBADMSG,
			  "%s is truncated: copy it again from where it was recorded, "
			  "or record again",
			  path);
}

static off_t wal_len(const char *path)
{
	ct_auto_free char *wal = NULL;
	struct stat st;

	if (asprintf(&wal, "%s-wal", path) < 0) {
		wal = NULL;
		return 0;
	}
	return stat(wal, &st) ? 0 : st.st_size;
}

/* The first 100 bytes, and whether what they promise is there. */
static int check_header(int fd, off_t file_len, const char *path, struct ct_sqlite_header *ret,
			struct ct_err *err)
{
	u8 bytes[CT_SQLITE_HEADER_LEN] = { 0 };
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);

	if (n < 0)
		return ct_syserr_set(err, errno, "read", path);
	if (memcmp(bytes, CT_SQLITE_MAGIC, (size_t)ct_min(n, (ssize_t)sizeof(CT_SQLITE_MAGIC))))
		return not_a_trace(path, err);
	if (n < (ssize_t)sizeof(bytes) || ct_sqlite_header_parse(bytes, ret))
		return truncated(path, err);
	if (ret->application_id != CT_SCHEMA_APPLICATION_ID)
		return not_a_trace(path, err);
	if (ret->user_version > CT_SCHEMA_VERSION)
		return ct_err_set(err, -EPROTO,
				  "%s was written by a newer cowtrace (format %u, this one reads "
				  "up to %u): update cowtrace",
				  path, ret->user_version, CT_SCHEMA_VERSION);
	/* With a WAL the file may lag behind what its header says. */
	if ((u64)file_len < (u64)ret->nr_pages * ret->page_len && !wal_len(path))
		return truncated(path, err);
	return 0;
}

static int check_file(const char *path, struct ct_sqlite_header *ret, int *ret_pid,
		      struct ct_err *err)
{
	/* O_NONBLOCK: a FIFO must not make us wait. */
	ct_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return ct_err_set(err, -ENOENT, "there is no file %s", path);
	if (fd < 0 || fstat(fd, &st))
		return ct_syserr_set(err, errno, "read", path);
	if (S_ISDIR(st.st_mode))
		return ct_err_set(err, -EISDIR, "%s is a folder: give a file in it", path);
	if (!S_ISREG(st.st_mode))
		return not_a_trace(path, err);
	if (!st.st_size)
		return ct_err_set(err, -ENODATA,
				  "%s is empty: the recording did not start, or the copy failed",
				  path);
	*ret_pid = 0;
	ct_sqlite_in_use(fd, ret_pid);
	return check_header(fd, st.st_size, path, ret, err);
}

/* BEGIN alone reads nothing: the first SELECT takes the snapshot. */
static int start(sqlite3 *db)
{
	sqlite3_busy_timeout(db, 5000);
	/* The file may come from anywhere: its schema runs nothing of ours. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return sqlite3_exec(db, "PRAGMA cell_size_check=ON; BEGIN; SELECT 1 FROM meta", NULL, NULL,
			    NULL);
}

static int open_uri(const char *path, const char *query, int flags, sqlite3 **ret)
{
	/* Every byte escaped: '?', '#' and '%' are special in an URI. */
	char *uri = malloc(3 * strlen(path) + strlen(query) + sizeof("file:?"));
	char *p = uri;
	int rc;

	*ret = NULL;
	if (!uri)
		return SQLITE_NOMEM;
	p += sprintf(p, "file:");
	for (; *path; path++)
		p += sprintf(p, "%%%02x", (u8)*path);
	sprintf(p, "?%s", query);
	rc = sqlite3_open_v2(uri, ret, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
	free(uri);
	return rc == SQLITE_OK ? start(*ret) : rc;
}

static int copy_file(const char *from, const char *to)
{
	ct_auto_fd int in = open(from, O_RDONLY | O_CLOEXEC);
	ct_auto_fd int out = open(to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	ssize_t n = 1;

	if (in < 0 || out < 0)
		return -errno;
	while (n > 0)
		n = sendfile(out, in, NULL, 1 << 30);
	return n < 0 ? -errno : 0;
}

/* The copy of a trace and its WAL; unlinked as soon as SQLite has them open. */
static int open_copy(const char *path, sqlite3 **ret)
{
	static const char *const tails[] = { "", "-wal", "-shm" };
	const char *tmp = secure_getenv("TMPDIR");
	ct_auto_free char *dir = NULL;
	int rc = SQLITE_CANTOPEN;

	*ret = NULL;
	if (asprintf(&dir, "%s/cowtrace-XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0) {
		dir = NULL;
		return SQLITE_NOMEM;
	}
	if (!mkdtemp(dir))
		return SQLITE_CANTOPEN;
	for (int pass = 0; pass < 3; pass++) {
		for (size_t i = 0; i < ct_array_size(tails); i++) {
			ct_auto_free char *from = NULL, *to = NULL;

			if (asprintf(&from, "%s%s", path, tails[i]) < 0)
				from = NULL;
			if (asprintf(&to, "%s/t%s", dir, tails[i]) < 0)
				to = NULL;
			if (!from || !to)
				continue;
			if (pass == 0 && i < 2)
				copy_file(from, to);
			else if (pass == 1 && i == 0)
				rc = open_uri(to, "mode=rw", SQLITE_OPEN_READWRITE, ret);
			else if (pass == 2)
				unlink(to);
		}
	}
	rmdir(dir);
	return rc;
}

int ct_load_open(const char *path, sqlite3 **ret_db, int *ret_writer_pid, struct ct_err *err)
{
	struct ct_sqlite_header h;
	sqlite3 *db = NULL;
	int rc = check_file(path, &h, ret_writer_pid, err);

	if (rc)
		return rc;
	/*
	 * In WAL mode but with nothing in a WAL and nobody at work: immutable, so
	 * that SQLite leaves no files of its own beside the trace.
	 */
	if (h.wal && !wal_len(path) && !*ret_writer_pid)
		rc = open_uri(path, "immutable=1", SQLITE_OPEN_READONLY, &db);
	else
		rc = open_uri(path, "mode=ro", SQLITE_OPEN_READONLY, &db);
	if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY) {
		sqlite3_close(db);
		rc = open_copy(path, &db);
	}
	if (rc != SQLITE_OK) {
		rc = ct_sqerr_set(err, db, rc, path);
		sqlite3_close(db);
		return rc;
	}
	*ret_db = db;
	return 0;
}
