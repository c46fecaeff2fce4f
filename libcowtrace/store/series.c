/* SPDX-License-Identifier: MIT */
/*
 * Names, sizes and ages of a recording's files.  Their numbers only grow, so that a
 * name means one file for ever; whoever wants the newest takes the highest.
 *
 * Invariant: nothing is removed but NAME.NUMBER with the header of a trace.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/schema.h"
#include "store/series.h"

struct older {
	u64 number, len;
};

struct ct_series {
	char *path;
	struct ct_series_limits limits;
	struct older *v; /* ascending */
	size_t nr, cap;
	u64 newest; /* number; 0: there has been none */
};

static const char *const beside[] = { "", "-wal", "-shm", "-journal" };

static char *name_of(const struct ct_series *s, u64 number, const char *tail)
{
	char *name;
	int n = number ? asprintf(&name, "%s.%06llu%s", s->path, (unsigned long long)number, tail)
		       : asprintf(&name, "%s%s", s->path, tail);

	return n < 0 ? NULL : name;
}

static u64 len_of(const struct ct_series *s, u64 number)
{
	struct stat st;
	u64 len = 0;

	for (size_t i = 0; i < ct_array_size(beside); i++) {
		ct_auto_free char *name = name_of(s, number, beside[i]);

		if (name && !stat(name, &st))
			len += (u64)ct_max(st.st_size, (off_t)st.st_blocks * 512);
	}
	return len;
}

static bool is_trace(const char *name)
{
	ct_auto_fd int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	u8 bytes[CT_SQLITE_HEADER_LEN];
	struct ct_sqlite_header h;
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes) &&
	       !ct_sqlite_header_parse(bytes, &h) && h.application_id == CT_SCHEMA_APPLICATION_ID;
}

static bool is_in_use(const char *name)
{
	ct_auto_fd int fd = open(name, O_RDWR | O_CLOEXEC);
	int pid;

	return fd < 0 || ct_sqlite_in_use(fd, &pid);
}

static int add(struct ct_series *s, u64 number)
{
	if (s->nr == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct older *v = reallocarray(s->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->nr++] = (struct older){ number, len_of(s, number) };
	s->newest = ct_max(s->newest, number);
	return 0;
}

/* NAME.NUMBER of exactly our spelling; 0: another name. */
static u64 number_of(const char *entry, const char *base)
{
	const size_t len = strlen(base);
	char again[32];
	u64 number;
	char *end;

	if (strncmp(entry, base, len) || entry[len] != '.')
		return 0;
	number = strtoull(entry + len + 1, &end, 10);
	snprintf(again, sizeof(again), "%06llu", (unsigned long long)number);
	return *end || strcmp(again, entry + len + 1) ? 0 : number;
}

static int by_number(const void *a, const void *b)
{
	const struct older *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* A folder that cannot be read has no older files: creating the trace says what is wrong. */
static int find_older(struct ct_series *s)
{
	ct_auto_free char *copy = strdup(s->path), *copy2 = strdup(s->path);
	const struct dirent *e;
	const char *base;
	int rc = 0;
	DIR *dir;

	if (!copy || !copy2)
		return -ENOMEM;
	base = basename(copy2);
	dir = opendir(dirname(copy));
	while (dir && !rc && (e = readdir(dir))) {
		const u64 number = number_of(e->d_name, base);
		ct_auto_free char *name = number ? name_of(s, number, "") : NULL;

		if (name && is_trace(name))
			rc = add(s, number);
	}
	if (dir)
		closedir(dir);
	if (s->nr)
		qsort(s->v, s->nr, sizeof(*s->v), by_number);
	return rc;
}

/* What a recorder that was killed has left is one file again. */
static void fold_wal(const char *path)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK)
		sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	sqlite3_close(db);
}

int ct_series_open(const char *path, const struct ct_series_limits *limits, bool adopt,
		   struct ct_series **ret)
{
	struct ct_series *s = calloc(1, sizeof(*s));
	int rc = 0;

	if (!s)
		return -ENOMEM;
	s->limits = *limits;
	s->path = realpath(path, NULL);
	if (!s->path)
		s->path = strdup(path);
	rc = s->path ? find_older(s) : -ENOMEM;
	if (!rc && adopt && is_trace(s->path) && !is_in_use(s->path)) {
		fold_wal(s->path);
		ct_series_archive(s);
	}
	if (rc) {
		ct_series_destroy(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void ct_series_destroy(struct ct_series *s)
{
	if (!s)
		return;
	free(s->v);
	free(s->path);
	free(s);
}

u64 ct_series_running(const struct ct_series *s)
{
	return len_of(s, 0);
}

int ct_series_archive(struct ct_series *s)
{
	const u64 number = s->newest + 1;
	int rc = 0;

	/* The file first: without it the others mean nothing. */
	for (size_t i = 0; i < ct_array_size(beside) && !rc; i++) {
		ct_auto_free char *from = name_of(s, 0, beside[i]);
		ct_auto_free char *to = name_of(s, number, beside[i]);

		if (!from || !to)
			rc = -ENOMEM;
		else if (rename(from, to) && (i == 0 || errno != ENOENT))
			rc = -errno;
	}
	return rc ? rc : add(s, number);
}

static u64 sum_of(const struct ct_series *s)
{
	u64 sum = 0;

	for (size_t i = 0; i < s->nr; i++)
		sum += s->v[i].len;
	return sum;
}

static void remove_oldest(struct ct_series *s)
{
	for (size_t i = 0; i < ct_array_size(beside); i++) {
		ct_auto_free char *name = name_of(s, s->v[0].number, beside[i]);

		if (!name || (i == 0 && !is_trace(name)))
			break;
		unlink(name);
	}
	memmove(s->v, s->v + 1, --s->nr * sizeof(*s->v));
}

u64 ct_series_trim(struct ct_series *s, u64 running)
{
	while (s->nr && ((s->limits.keep && s->nr > s->limits.keep) ||
			 (s->limits.max_len && sum_of(s) + running > s->limits.max_len)))
		remove_oldest(s);
	return sum_of(s);
}

const char *ct_series_path(const struct ct_series *s)
{
	return s->path;
}
