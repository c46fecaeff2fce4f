/* SPDX-License-Identifier: MIT */
/* For the recorder's tests: a trace in a folder of its own, and numbers. */
#ifndef RECORDER_UTIL_H
#define RECORDER_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "recorder/outbox.h"
#include "store/reader.h"

/* xorshift64*: a test that fails fails again. */
static inline u64 rnd(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static inline u64 below(u64 *state, u64 n)
{
	return rnd(state) % n;
}

/* A new trace at a path of this test's own; remove_trace() takes it away. */
static inline char *trace_path(void)
{
	static char dir[64], path[96];

	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "/tmp/cowtrace-test-XXXXXX");
		assert_non_null(mkdtemp(dir));
		snprintf(path, sizeof(path), "%s/t.cowtrace", dir);
	}
	return path;
}

static inline void remove_trace(void)
{
	char *path = trace_path(), *slash;

	unlink(path);
	slash = strrchr(path, '/');
	*slash = '\0';
	rmdir(path);
	*slash = '/';
}

static inline struct ct_outbox *outbox_open(void)
{
	struct ct_store *store;
	struct ct_outbox *out;
	struct ct_err err;

	assert_int_equal(ct_store_create(trace_path(), &store, &err), 0);
	assert_int_equal(ct_outbox_create(store, &out), 0);
	return out;
}

static inline void outbox_close(struct ct_outbox *out)
{
	struct ct_err err;

	assert_int_equal(ct_outbox_finish(out, NULL, &err), 0);
}

#endif
