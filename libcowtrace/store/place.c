/* SPDX-License-Identifier: MIT */
/*
 * The file system's side of a new trace: which existing file may be replaced,
 * and how.  Does not know what is in a trace beyond its header.
 *
 * Invariant: a file that is not a cowtrace trace is never opened for writing,
 * truncated or unlinked.  A trace is replaced by rename, after everything that
 * can be refused has been.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "store/place.h"
#include "store/schema.h"
#include "store/sqerr.h"

#define RESERVE_LEN (256 << 10) /* a commit of one row: two WAL frames, one wal-index block */

static const char *const beside[] = { "-wal", "-shm", "-journal" };

static int check_is_trace(int fd, const char *path, struct ct_err *err)
{
	u8 bytes[CT_SQLITE_HEADER_LEN];
	struct ct_sqlite_header h;
	int pid;

	if (pread(fd, bytes, sizeof(bytes), 0) != sizeof(bytes) ||
	    ct_sqlite_header_parse(bytes, &h) || h.application_id != CT_SCHEMA_APPLICATION_ID)
		return ct_err_set(err, -EEXIST,
				  "%s exists and is not a cowtrace trace: "
				  "remove it, or choose another name with -o",
				  path);
	if (ct_sqlite_in_use(fd, &pid))
		return ct_err_set(
			err, -EBUSY,
			"%s is open in process %d: end that, or choose another name with -o", path,
			pid);
	return 0;
}

/* May the file at path, if there is one, be replaced? */
static int check_replaceable(const char *path, struct ct_err *err)
{
	ct_auto_fd int fd = -1;
	struct stat st;

	/* By name first: opening a FIFO would wait, a device might act. */
	if (stat(path, &st))
		return errno == ENOENT ? 0 : ct_syserr_set(err, errno, "look at", path);
	if (!S_ISREG(st.st_mode))
		return ct_err_set(err, -EEXIST,
				  "%s is not a regular file: choose another name with -o", path);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return ct_syserr_set(err, errno, "replace", path);
	/* Empty (mktemp): nothing is lost. */
	return st.st_size ? check_is_trace(fd, path, err) : 0;
}

/* The name behind symbolic links; a name that does not exist yet stays as it is. */
static int resolve(const char *path, char **ret, struct ct_err *err)
{
	char *real = realpath(path, NULL);

	if (!real && errno == ENOENT) {
		struct stat st;

		if (!lstat(path, &st))
			return ct_err_set(err, -ENOENT,
					  "%s is a symbolic link to nothing: remove it, "
					  "or choose another name with -o",
					  path);
		real = strdup(path);
	}
	if (!real)
		return ct_syserr_set(err, errno, "create", path);
	*ret = real;
	return 0;
}

/* A disk that has not even this much is full; one that cannot promise goes without. */
static int make_reserve(struct ct_place *p, const char *dir, struct ct_err *err)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 && fallocate(fd, 0, 0, RESERVE_LEN)) {
		int e = errno;

		close(fd);
		return e == ENOSPC || e == EDQUOT ? ct_syserr_set(err, e, "create", p->path) : 0;
	}
	p->reserve_fd = fd;
	return 0;
}

static int make_temp(struct ct_place *p, struct ct_err *err)
{
	ct_auto_free char *copy = strdup(p->path);
	const char *dir;
	u64 r;
	int fd;

	if (!copy)
		return ct_syserr_set(err, ENOMEM, "create", p->path);
	dir = dirname(copy);
	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		r = (u64)getpid();
	if (asprintf(&p->temp, "%s/.cowtrace-%016llx", dir, (unsigned long long)r) < 0) {
		p->temp = NULL;
		return ct_syserr_set(err, ENOMEM, "create", p->path);
	}
	fd = open(p->temp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
	if (fd < 0) {
		int e = errno;

		free(ct_take_ptr(p->temp));
		if (e == ENOENT || e == ENOTDIR)
			return ct_err_set(
				err, -e, "cannot create %s: there is no folder %s, create it first",
				p->path, dir);
		return ct_syserr_set(err, e, "create", p->path);
	}
	close(fd);
	return make_reserve(p, dir, err);
}

int ct_place_claim(const char *path, struct ct_place *ret, struct ct_err *err)
{
	struct ct_place p = { .reserve_fd = -1 };
	int rc;

	if (!*path)
		return ct_err_set(err, -ENOENT, "the name of the trace is empty: give one with -o");
	rc = resolve(path, &p.path, err);
	if (!rc)
		rc = check_replaceable(p.path, err);
	if (!rc)
		rc = make_temp(&p, err);
	if (rc) {
		if (p.temp)
			unlink(p.temp);
		ct_place_fini(&p);
		return rc;
	}
	*ret = p;
	return 0;
}

static void unlink_beside(const char *path)
{
	for (size_t i = 0; i < ct_array_size(beside); i++) {
		ct_auto_free char *name = NULL;

		if (asprintf(&name, "%s%s", path, beside[i]) < 0)
			name = NULL;
		else
			unlink(name);
	}
}

int ct_place_take(struct ct_place *p, struct ct_err *err)
{
	/*
	 * The WAL of a killed recording must not meet the new file: SQLite would
	 * recover it into the new one.
	 */
	unlink_beside(p->path);
	if (rename(p->temp, p->path))
		return ct_syserr_set(err, errno, "create", p->path);
	free(ct_take_ptr(p->temp));
	return 0;
}

void ct_place_remove(struct ct_place *p)
{
	if (p->temp) {
		unlink(p->temp);
		unlink_beside(p->temp);
		return;
	}
	unlink_beside(p->path);
	unlink(p->path);
}

void ct_place_release_reserve(struct ct_place *p)
{
	ct_fd_put(&p->reserve_fd);
	p->reserve_fd = -1;
}

void ct_place_fini(struct ct_place *p)
{
	ct_place_release_reserve(p);
	free(ct_take_ptr(p->path));
	free(ct_take_ptr(p->temp));
}
