/* SPDX-License-Identifier: MIT */
/*
 * How a story of the ledger is told: `l` is the ledger, `e` the effects so far, and
 * a call that has no memory ends it.  test_ledger_stories.c tells them.
 */
#ifndef TEST_STORIES_H
#define TEST_STORIES_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/ledger.h"

#define UNIT 512ULL
#define A (64 * UNIT)
#define B (128 * UNIT)
#define C (192 * UNIT)
#define FILLED (1024 * UNIT)

/* What a call must answer, unless it has no memory: that ends the story. */
#define IS(call, want)                       \
	do {                                 \
		int is_ = (call);            \
		if (is_ == -ENOMEM)          \
			return is_;          \
		assert_int_equal(is_, want); \
	} while (0)
#define OK(call) IS(call, 0)
#define MAP(page, nr, kind) OK(ct_ledger_map(l, 1, page, nr, CT_BACK_##kind))
#define WRITE(pid, page, nr) OK(ct_ledger_write(l, pid, page, nr, e))
#define READ(pid, page, nr) OK(ct_ledger_read(l, pid, page, nr, e))
#define FORK(pid, child) OK(ct_ledger_fork(l, pid, child, e))
#define EXIT(pid) OK(ct_ledger_exit(l, pid))
#define SPLIT(pid, page, nr) OK(ct_ledger_split(l, pid, page, nr, e))
#define PROTECT(page, nr, rw) OK(ct_ledger_protect(l, 1, page, nr, rw, e))
#define ADVISE(page, nr, what) OK(ct_ledger_advise(l, 1, page, nr, CT_ADVISE_##what, e))
#define STATE(pid, page) OK(ct_ledger_state(l, pid, page, &st))
#define FRESH() memset(e, 0, sizeof(*e))
#define PAGEOUT(pid, page, nr) OK(ct_ledger_pageout(l, pid, page, nr, e))

/* stories_swap.c, stories_track.c; the last is NULL */
extern int (*const swap_stories[])(struct ct_ledger *l, struct ct_effect *e);
extern int (*const track_stories[])(struct ct_ledger *l, struct ct_effect *e);

#endif
