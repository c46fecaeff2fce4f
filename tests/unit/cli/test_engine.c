/* SPDX-License-Identifier: MIT */
/*
 * `--engine auto`: which engine for which facts, as a table; that taking a fact
 * away never gives a better engine; and that the line for people says what is
 * missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "engine_choice.h"

#define F(name) CT_FACT_BIT(CT_FACT_##name)
#define ANY (F(MEMORY) | F(SOCKET) | F(PAGEMAP))
#define PERF (F(PERF_ENGINE) | F(PERF_EVENTS) | F(PERF_SIGNAL) | F(PERF_BLOCKED))
#define USER (ANY | F(SCAN) | F(RULE) | F(FEATURES) | F(CALL_FILE) | F(SIGNAL) | F(KILL) | F(FILES))

static const struct row {
	const char *who;
	u32 facts;
	enum ct_engine_id id;
	enum ct_ability ability;
	const char *says; /* in the line */
} rows[] = {
	{ "root", CT_ALL_FACTS, CT_ENGINE_ID_UFFD, CT_WHOLE, "call site" },
	{ "root, no perf engine", CT_ALL_FACTS & ~PERF, CT_ENGINE_ID_UFFD, CT_WHOLE, "call site" },
	{ "root without CAP_SYS_ADMIN", CT_ALL_FACTS & ~(F(FRAMES) | F(PAGE_FLAGS)),
	  CT_ENGINE_ID_UFFD, CT_LESS, "page frames are hidden" },
	{ "root without CAP_KILL", CT_ALL_FACTS & ~F(KILL), CT_ENGINE_ID_UFFD, CT_LESS,
	  "CAP_KILL" },
	{ "signal 62 ignored", CT_ALL_FACTS & ~F(SIGNAL), CT_ENGINE_ID_UFFD, CT_LESS, "signal 62" },
	{ "root without CAP_SYS_PTRACE", CT_ALL_FACTS & ~(F(FORK_EVENTS) | F(PROTECT) | PERF),
	  CT_ENGINE_ID_CENSUS, CT_WHOLE, "CAP_SYS_PTRACE" },
	{ "the same, with perf", CT_ALL_FACTS & ~(F(FORK_EVENTS) | F(PROTECT)), CT_ENGINE_ID_PERF,
	  CT_WHOLE, "CAP_SYS_PTRACE" },
	{ "no device", CT_ALL_FACTS & ~(F(DEVICE) | F(USERFAULTFD) | F(FORK_EVENTS) | F(PROTECT)),
	  CT_ENGINE_ID_PERF, CT_WHOLE, "/dev/userfaultfd" },
	{ "an old kernel", CT_ALL_FACTS & ~(F(SCAN) | PERF), CT_ENGINE_ID_CENSUS, CT_WHOLE, "6.7" },
	{ "rule not found out", CT_ALL_FACTS & ~(F(RULE) | PERF), CT_ENGINE_ID_CENSUS, CT_WHOLE,
	  "rule" },
	{ "a user, paranoid 2", USER | PERF, CT_ENGINE_ID_PERF, CT_LESS, "counts in bounds" },
	{ "a user, paranoid 3", USER | F(PERF_ENGINE), CT_ENGINE_ID_CENSUS, CT_LESS,
	  "counts in bounds, no call sites" },
	{ "a user, an old kernel", USER | F(PERF_ENGINE) | F(PERF_EVENTS), CT_ENGINE_ID_CENSUS,
	  CT_LESS, "no call sites" },
	{ "a user, Linux 5.17", USER | (PERF & ~F(PERF_BLOCKED)), CT_ENGINE_ID_CENSUS, CT_LESS,
	  "SIGTRAP" },
	{ "a user, no perf engine", USER | (PERF & ~F(PERF_ENGINE)), CT_ENGINE_ID_CENSUS, CT_LESS,
	  "root" },
	{ "few files", CT_ALL_FACTS & ~(F(FILES) | F(DEVICE) | PERF), CT_ENGINE_ID_CENSUS, CT_LESS,
	  "/dev/userfaultfd" },
	{ "nothing but the least", ANY, CT_ENGINE_ID_CENSUS, CT_LESS, "no call sites" },
	{ "no /proc", CT_ALL_FACTS & ~F(PAGEMAP), CT_ENGINE_ID_NONE, CT_CANNOT, "/proc" },
	{ "no memfd", CT_ALL_FACTS & ~F(MEMORY), CT_ENGINE_ID_NONE, CT_CANNOT, "memfd_create" },
	{ "no sockets", CT_ALL_FACTS & ~F(SOCKET), CT_ENGINE_ID_NONE, CT_CANNOT, "socket" },
	{ "nothing", 0, CT_ENGINE_ID_NONE, CT_CANNOT, "nothing can be recorded" },
};

static void test_table(void **state)
{
	for (size_t i = 0; i < ct_array_size(rows); i++) {
		enum ct_engine_id id = ct_engine_choose(rows[i].facts);
		enum ct_fact missing;
		char line[512];

		ct_engine_explain(id, rows[i].facts, line, sizeof(line));
		if (id != rows[i].id)
			fail_msg("%s: engine %s", rows[i].who, ct_engine_id_name(id));
		if (id != CT_ENGINE_ID_NONE &&
		    ct_engine_ability(id, rows[i].facts, &missing) != rows[i].ability)
			fail_msg("%s: another ability", rows[i].who);
		if (!strstr(line, rows[i].says))
			fail_msg("%s: no \"%s\" in: %s", rows[i].who, rows[i].says, line);
	}
}

/* Over every set of facts: each fact that goes makes things no better. */
static void test_less_is_never_more(void **state)
{
	for (u32 facts = 0; facts <= CT_ALL_FACTS; facts++) {
		enum ct_engine_id id = ct_engine_choose(facts);

		for (u32 left = facts; left; left &= left - 1)
			if (ct_engine_choose(facts & ~(left & -left)) < id)
				fail_msg("facts %x without %x", facts, left & -left);
	}
}

/* The missing fact is one that the engine has use for, and that is missing. */
static void test_missing(void **state)
{
	for (enum ct_engine_id id = 0; id < CT_NR_ENGINE_IDS; id++) {
		enum ct_fact missing, none = CT_NR_FACTS;
		u32 facts = 0;

		assert_int_equal(ct_engine_ability(id, CT_ALL_FACTS, &missing), CT_WHOLE);
		assert_int_equal(missing, none);
		/* Mended one after the other, it comes to run and then to run whole. */
		while (ct_engine_ability(id, facts, &missing) != CT_WHOLE) {
			assert_true(missing < none && !(facts & CT_FACT_BIT(missing)));
			facts |= CT_FACT_BIT(missing);
		}
	}
}

static void test_words(void **state)
{
	char line[512];

	for (enum ct_fact f = 0; f < CT_NR_FACTS; f++)
		assert_true(*ct_fact_missing(f) && *ct_fact_remedy(f));
	for (u32 facts = 0; facts <= CT_ALL_FACTS; facts++) {
		ct_engine_explain(ct_engine_choose(facts), facts, line, sizeof(line));
		/* Whole, one line, no sentence's end. */
		if (strlen(line) > 400 || strchr(line, '\n') || line[strlen(line) - 1] == '.')
			fail_msg("facts %x: %s", facts, line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_less_is_never_more),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
