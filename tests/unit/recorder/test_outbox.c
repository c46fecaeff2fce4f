/* SPDX-License-Identifier: MIT */
/* The way to the disk: deep copies, order, what goes first when the disk is behind. */
#include <sqlite3.h>

#include "recorder_util.h"

static s64 one_number(const char *sql)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	s64 n;

	assert_int_equal(sqlite3_open(trace_path(), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static void put_note(struct ct_outbox *o, const char *text)
{
	char copy[64];
	struct ct_rec rec = { .type = CT_REC_NOTE };

	snprintf(copy, sizeof(copy), "%s", text);
	rec.note.severity = "info";
	rec.note.code = "test";
	rec.note.text = copy;
	ct_outbox_put(o, &rec);
	memset(copy, 'X', sizeof(copy));
}

static void put_side(struct ct_outbox *o, u32 fork)
{
	struct ct_rec rec = { .type = CT_REC_SIDE };

	rec.side.fork = fork;
	rec.side.end = CT_SIDE_END_EXIT;
	rec.side.copied = fork;
	ct_outbox_put(o, &rec);
}

static void put_event(struct ct_outbox *o, u64 i)
{
	struct ct_rec rec = { .type = CT_REC_EVENT };

	rec.event.process = 1;
	rec.event.type = "map";
	rec.event.addr = i;
	ct_outbox_put(o, &rec);
}

/* What was handed over may change at once; arrays and strings are copied. */
static void test_deep_copies(void **state)
{
	u64 events;
	struct ct_outbox *o = outbox_open();
	struct ct_rec rec = { .type = CT_REC_RUNS };
	struct ct_rec_run runs[3] = { { 10, 2, CT_RUN_SMALL },
				      { 20, 1, CT_RUN_HUGE },
				      { 30, 5, CT_RUN_SWAP } };
	u32 i;

	for (i = 0; i < 100; i++)
		put_note(o, "all is well");
	rec.runs.fork = 9;
	rec.runs.nr = 3;
	rec.runs.runs = runs;
	ct_outbox_put(o, &rec);
	memset(runs, 0xff, sizeof(runs));
	assert_int_equal(ct_outbox_lost(o, &events), 0);
	assert_int_equal(events, 0);
	assert_null(ct_outbox_error(o));
	outbox_close(o);
	assert_int_equal(one_number("SELECT count(*) FROM notes WHERE text = 'all is well'"), 100);
	assert_int_equal(one_number("SELECT sum(page * pages) FROM runs WHERE fork = 9"), 190);
}

/* What nobody waits for is in the file within a second all the same. */
static void test_written_by_itself(void **state)
{
	struct ct_outbox *o = outbox_open();
	s64 nr = 0;
	int tries;

	put_note(o, "soon");
	for (tries = 0; tries < 200 && !nr; tries++) {
		usleep(10000);
		nr = one_number("SELECT count(*) FROM notes");
	}
	assert_int_equal(nr, 1);
	outbox_close(o);
}

/*
 * More events than any disk takes: some are lost and counted, and the memory is
 * bounded; of what the report is made of, nothing is lost.
 */
static void test_storm(void **state)
{
	struct ct_outbox *o = outbox_open();
	u64 i, lost, others;

	for (i = 0; i < 200000; i++) {
		put_event(o, i);
		if (i % 100 == 0)
			put_side(o, (u32)(i / 100 + 1));
	}
	others = ct_outbox_lost(o, &lost);
	outbox_close(o);
	assert_true(lost > 0);
	assert_int_equal(others, 0);
	assert_int_equal(one_number("SELECT count(*) FROM sides"), 2000);
	assert_int_equal(one_number("SELECT count(*) FROM events"), (s64)(200000 - lost));
}

static int cleanup(void **state)
{
	remove_trace();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deep_copies),
		cmocka_unit_test(test_written_by_itself),
		cmocka_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, NULL, cleanup);
}
