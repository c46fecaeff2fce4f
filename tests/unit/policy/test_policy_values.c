/* SPDX-License-Identifier: MIT */
/*
 * The rest of policy.h: names, models, states that cannot be, text, fork, swap-in,
 * and the owner slots.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "policy/parse.h"

static void test_models(void **state)
{
	static const struct {
		const char *name;
		enum cowtrace_model_id id;
	} known[] = {
		{ "4.19", COWTRACE_MODEL_G1 },
		{ "5.0.1", COWTRACE_MODEL_G1 },
		{ "5.1", COWTRACE_MODEL_G2 },
		{ "5.4.214", COWTRACE_MODEL_G2 },
		{ "5.8", COWTRACE_MODEL_G2_SPLIT },
		{ "5.9", COWTRACE_MODEL_G3 },
		{ "5.10.0-32-cloud-amd64", COWTRACE_MODEL_G3 },
		{ "5.17", COWTRACE_MODEL_G3 },
		{ "5.18", COWTRACE_MODEL_G4 },
		{ "5.19", COWTRACE_MODEL_G5 },
		{ "6.9", COWTRACE_MODEL_G5 },
		{ "6.10", COWTRACE_MODEL_G5_LATE },
		{ "6.12.107+deb13", COWTRACE_MODEL_G5_LATE },
		{ "6.13", COWTRACE_MODEL_G5_ZERO },
		{ "6.14", COWTRACE_MODEL_G5_ZERO },
		{ "6.15", COWTRACE_MODEL_G6 },
		{ "7.2", COWTRACE_MODEL_G6 },
		{ "g6b", COWTRACE_MODEL_G6B },
		{ "rmapid", COWTRACE_MODEL_RMAPID },
	};
	static const char *const bad[] = {
		"", "g7", "5", "5.", "1.2", "5.x", ".5", "5.10x", "99999999999.1", "5.1000"
	};
	enum cowtrace_model_id id;

	for (unsigned int i = 0; i < COWTRACE_NR_MODELS; i++) {
		const struct cowtrace_model *m = cowtrace_model_get(i);

		assert_int_equal(m->id, i);
		assert_non_null(m->versions);
		assert_non_null(m->rule);
		assert_non_null(m->huge_rule);
		assert_non_null(m->source);
		assert_int_equal(m->shipped, i < COWTRACE_MODEL_RMAPID);
		assert_int_equal(cowtrace_model_find(m->name, &id), 0);
		assert_int_equal(id, i);
	}
	assert_null(cowtrace_model_get(COWTRACE_NR_MODELS));
	assert_null(cowtrace_model_get(-1));
	for (size_t i = 0; i < ct_array_size(known); i++) {
		assert_int_equal(cowtrace_model_find(known[i].name, &id), 0);
		assert_int_equal(id, known[i].id);
	}
	for (size_t i = 0; i < ct_array_size(bad); i++)
		assert_int_equal(cowtrace_model_find(bad[i], &id), -ENOENT);
}

static void test_names(void **state)
{
	for (unsigned int i = 0; i < COWTRACE_NR_ACTIONS; i++)
		assert_non_null(cowtrace_action_name(i));
	for (unsigned int i = 0; i < COWTRACE_NR_REASONS; i++) {
		assert_non_null(cowtrace_reason_name(i));
		assert_non_null(cowtrace_reason_text(i));
	}
	for (unsigned int i = 0; i < COWTRACE_NR_FIELDS; i++) {
		assert_non_null(cowtrace_field_name(i));
		assert_non_null(cowtrace_field_text(i));
		for (unsigned int j = 0; j < i; j++)
			assert_string_not_equal(cowtrace_field_name(i), cowtrace_field_name(j));
	}
	assert_null(cowtrace_action_name(COWTRACE_NR_ACTIONS));
	assert_null(cowtrace_reason_name(COWTRACE_NR_REASONS));
	assert_null(cowtrace_reason_text(COWTRACE_NR_REASONS));
	assert_null(cowtrace_field_name(COWTRACE_NR_FIELDS));
	assert_null(cowtrace_field_text(COWTRACE_NR_FIELDS));
}

static void test_fields(void **state)
{
	struct cowtrace_page_state st;

	cowtrace_page_state_init(&st);
	for (unsigned int i = 0; i < COWTRACE_NR_FIELDS; i++) {
		u32 val = cowtrace_field_is_flag(i) ? 1 : 5 + i;

		cowtrace_page_state_set(&st, i, val);
		assert_int_equal(cowtrace_page_state_get(&st, i), val);
	}
	for (unsigned int i = 0; i < COWTRACE_NR_FIELDS; i++) {
		assert_true(cowtrace_page_state_get(&st, i) != 0);
		cowtrace_page_state_set(&st, i, 0);
		assert_int_equal(cowtrace_page_state_get(&st, i), 0);
	}
	cowtrace_page_state_set(&st, COWTRACE_FIELD_MAPCOUNT, 3);
	st.known = 0;
	assert_int_equal(cowtrace_page_state_get(&st, COWTRACE_FIELD_MAPCOUNT), 0);
	cowtrace_page_state_set(&st, COWTRACE_NR_FIELDS, 1);
	assert_int_equal(st.known, 0);
	assert_int_equal(cowtrace_page_state_get(&st, COWTRACE_NR_FIELDS), 0);
}

/* Each text is refused, and the sentence has this in it. */
static void test_refused(void **state)
{
	static const char *const refused[][2] = {
		{ "mapcount=2,refcount=1", "mapcount above refcount" },
		{ "swapcache,refcount=1", "swap cache above refcount" },
		{ "pinned,refcount=1", "left for the pin" },
		{ "exclusive,ksm", "never exclusive" },
		{ "exclusive,zero", "never exclusive" },
		{ "exclusive,file", "never marked exclusive" },
		{ "exclusive,mapcount=2", "mapped more than once" },
		{ "ksm,zero", "zero page is not a KSM" },
		{ "ksm,file", "anonymous pages only" },
		{ "ksm,pmd", "no PMD maps one" },
		{ "ksm,hugetlb", "does not merge hugetlb" },
		{ "ksm,shared", "private mappings only" },
		{ "ksm,order=4", "order must be 0" },
		{ "zero,file", "belongs to no file" },
		{ "swapcache,file", "not in the swap cache" },
		{ "swapcache,zero", "not in the swap cache" },
		{ "swapcache,hugetlb", "never swapped" },
		{ "lru,lru_local", "at once" },
		{ "uffd_async", "needs uffd_wp" },
		{ "order=0,pmd", "not mapped by a PMD" },
		{ "mm_shared", "owner slots" },
		{ "order=10", "larger than order 9" },
		{ "order=1", "has order 1" },
		{ "order=4,pmd", "order 9 only" },
		{ "order=4,large_mapcount=1,mapcount=2", "above large_mapcount" },
		{ "order=9,mapcount=1,entire_mapcount=2", "above mapcount" },
		{ "pmd,entire_mapcount=0", "entire_mapcount is 0" },
		{ "order=9,mapcount=2,max_mapcount=1", "below mapcount" },
		{ "order=4,mapcount=2,!mm_shared", "not mm_shared" },
		{ "order=4,mapcount=2,own_mapcount=32,mm_shared", "all mappings are own" },
		{ "order=9,own_mapcount=600", "above large_mapcount" },
		{ "order=9,refcount=5", "above refcount" },
		{ "mapcount=0", "mapcount 0" },
		{ "!swapcache,swapcount=1", "not in the swap cache" },
		{ "!swapcache,writeback", "not in the swap cache" },
		{ "mapcuont=1", "did you mean \"mapcount\"?" },
		{ "zzzzzzzzzzzzz", "no input is called \"zzzzzzzzzzzzz\"" },
		{ "mapcount", "wants a number" },
		{ "!mapcount", "wants a number" },
		{ "!mapcount=1", "wants a number" },
		{ "mapcount=x", "not a number" },
		{ "mapcount=1x", "not a number" },
		{ "mapcount=", "not a number" },
		{ "mapcount=99999999999999999999999", "not a number" },
		{ "swapcache=maybe", "neither yes nor no" },
		{ "addr", "wants an address" },
		{ "vma_end=x", "wants an address" },
		{ "addr=-1", "wants an address" },
		{ "addr=0x12g", "not an address" },
		{ "addr=0x1000", "vma_start and vma_end only" },
		{ "vma_start=0x1000", "vma_start and vma_end only" },
		{ "pmd,addr=0x250000,vma_start=0x200000,vma_end=0x300000", "does not fit" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  "so long a name" },
	};

	for (size_t i = 0; i < ct_array_size(refused); i++) {
		struct cowtrace_page_state st;
		struct ct_err err = { "" };

		if (ct_state_parse(refused[i][0], &st, &err) != -EINVAL ||
		    !strstr(err.text, refused[i][1]))
			fail_msg("\"%s\": \"%s\" lacks \"%s\"", refused[i][0], err.text,
				 refused[i][1]);
	}
}

/* Not knowing the other half of a contradiction makes a state possible. */
static void test_not_refused(void **state)
{
	static const char *const fine[] = {
		"mapcount=2,refcount=?",
		"exclusive,mapcount=?",
		"swapcount=1,swapcache=?",
		"writeback,swapcache=?",
		"order=?,pmd",
		"order=9,large_mapcount=?",
		"writeback,file",
		"zero,mapcount=0",
		"pinned,refcount=?",
		"order=9,mapcount=?,max_mapcount=0",
		"order=9,own_mapcount=?,entire_mapcount=?",
		"file,mapcount=0",
		"special,mapcount=0",
		"hugetlb,order=18,mapcount=1",
		"uffd_wp,uffd_async=?",
		"mapcount=0,file=?",
		"zero=?,mapcount=0,mapcount=1",
		"order=18,hugetlb=?,mapcount=1",
		"writeback,!swapcache,file=?",
		"pmd,order=9,refcount=?,large_mapcount=1",
		" ,, locked=1",
		"lru=?",
		"swapcache=true,locked=false,lru=no",
		"pmd,addr=0x250000,vma_start=0x200000,vma_end=0x400000",
	};

	for (size_t i = 0; i < ct_array_size(fine); i++) {
		struct cowtrace_page_state st;
		struct ct_err err = { "" };

		if (ct_state_parse(fine[i], &st, &err))
			fail_msg("\"%s\": %s", fine[i], err.text);
	}
}

static void test_place(void **state)
{
	struct cowtrace_page_state st;
	struct ct_err err;
	const char *why = NULL;

	assert_int_equal(ct_state_parse("pmd", &st, &err), 0);
	st.vma_start = 0x200000;
	st.vma_end = 0x600000;
	st.addr = 0x3ff000;
	assert_int_equal(cowtrace_page_state_check(&st, &why), 0);
	st.vma_end = 0x300000;
	st.addr = 0x2ff000;
	assert_int_equal(cowtrace_page_state_check(&st, &why), -EINVAL);
	st.vma_end = 0x600000;
	st.vma_start = 0x201000;
	assert_int_equal(cowtrace_page_state_check(&st, &why), -EINVAL);
	assert_non_null(strstr(why, "does not fit"));
	cowtrace_page_state_set(&st, COWTRACE_FIELD_PMD, 0);
	assert_int_equal(cowtrace_page_state_check(&st, NULL), 0);
	st.addr = 0x600000;
	assert_int_equal(cowtrace_page_state_check(&st, NULL), -EINVAL);
	st.addr = 0x200000;
	assert_int_equal(cowtrace_page_state_check(&st, NULL), -EINVAL);
	st.vma_start = st.vma_end;
	assert_int_equal(cowtrace_page_state_check(&st, NULL), -EINVAL);
	st.vma_start = 0x500000;
	st.vma_end = 0x600000;
	st.addr = 0x500000;
	cowtrace_page_state_set(&st, COWTRACE_FIELD_PMD, 1);
	assert_int_equal(cowtrace_page_state_check(&st, NULL), -EINVAL);
}

static void test_errors(void **state)
{
	struct cowtrace_page_state st;
	struct cowtrace_verdict v;
	enum cowtrace_fork_action fa;
	struct cowtrace_swapin si;
	enum cowtrace_model_id id;
	struct ct_err err;

	cowtrace_page_state_init(&st);
	assert_int_equal(cowtrace_policy_judge(COWTRACE_NR_MODELS, &st, &v), -EINVAL);
	assert_int_equal(cowtrace_policy_fork(COWTRACE_NR_MODELS, &st, &fa), -EINVAL);
	assert_int_equal(cowtrace_policy_swapin(COWTRACE_NR_MODELS, &st, true, true, &si), -EINVAL);
	st.known &= ~COWTRACE_BIT(COWTRACE_FIELD_PINNED);
	assert_int_equal(cowtrace_policy_fork(COWTRACE_MODEL_G6, &st, &fa), -EINVAL);
	st.mapcount = 2;
	assert_int_equal(cowtrace_policy_judge(COWTRACE_MODEL_G6, &st, &v), -EINVAL);
	assert_int_equal(cowtrace_policy_swapin(COWTRACE_MODEL_G6, &st, true, true, &si), -EINVAL);
	assert_int_equal(ct_model_parse("g5-lat", &id, &err), -EINVAL);
	assert_non_null(strstr(err.text, "did you mean \"g5-late\"?"));
	assert_int_equal(ct_model_parse("xxxxxxxxxx", &id, &err), -EINVAL);
	assert_non_null(strstr(err.text, "policy list"));
	assert_int_equal(ct_model_parse("5.10", &id, &err), 0);
	assert_int_equal(id, COWTRACE_MODEL_G3);
}

static void test_fork(void **state)
{
	static const struct {
		const char *state;
		u8 g1, g3, g4, g6; /* enum cowtrace_fork_action */
	} rows[] = {
		{ "", 0, 0, 0, 0 },	      { "exclusive", 0, 0, 0, 0 },
		{ "pinned", 0, 1, 1, 0 },     { "pinned exclusive", 0, 1, 1, 1 },
		{ "pmd pinned", 0, 2, 2, 0 }, { "pmd pinned exclusive", 0, 2, 2, 2 },
		{ "shared", 3, 3, 3, 3 },     { "file pmd", 3, 3, 3, 3 },
		{ "file", 0, 0, 0, 0 },
	};
	static const enum cowtrace_model_id ids[] = { COWTRACE_MODEL_G1, COWTRACE_MODEL_G3,
						      COWTRACE_MODEL_G4, COWTRACE_MODEL_G6 };

	for (size_t i = 0; i < ct_array_size(rows); i++) {
		const u8 *want = &rows[i].g1;
		struct cowtrace_page_state st;
		struct ct_err err;

		assert_int_equal(ct_state_parse(rows[i].state, &st, &err), 0);
		for (size_t m = 0; m < ct_array_size(ids); m++) {
			enum cowtrace_fork_action got;

			assert_int_equal(cowtrace_policy_fork(ids[m], &st, &got), 0);
			assert_int_equal(got, want[m]);
		}
	}
}

static void test_swapin(void **state)
{
	static const struct {
		const char *model, *state;
		bool write, mark;
		const char *want; /* w writable, x exclusive */
	} rows[] = {
		{ "g1", "swapcache", true, false, "w" },
		{ "g1", "swapcache", false, false, "" },
		{ "g3", "swapcache", true, false, "w" },
		{ "g3", "swapcache swapcount=1", true, false, "" },
		{ "g3", "mapcount=2 swapcache", true, false, "" },
		{ "g3", "ksm", true, false, "" },
		{ "g4", "swapcache", true, false, "w" },
		{ "g4", "swapcache", false, false, "" },
		{ "g4", "", true, false, "w" },
		{ "g4", "swapcache refcount=3", true, false, "" },
		{ "g4", "swapcache swapcount=1", true, false, "" },
		{ "g4", "swapcache writeback", true, false, "" },
		{ "g4", "ksm", true, false, "" },
		{ "g5", "swapcache", true, true, "wx" },
		{ "g5", "swapcache", false, true, "x" },
		{ "g5", "", false, false, "x" },
		{ "g5", "swapcache", false, false, "" },
		{ "g6", "swapcache", false, true, "wx" },
		{ "g6", "", false, false, "wx" },
		{ "g6", "", true, false, "wx" },
		{ "g6b", "", true, false, "" },
		{ "g6b", "", true, true, "wx" },
		/* large folios: to 6.10 the swap cache's references are not dropped */
		{ "g1", "order=9 swapcache large_mapcount=1 refcount=513", true, false, "w" },
		{ "g3", "order=9 swapcache large_mapcount=1 refcount=513 max_mapcount=2", true,
		  false, "" },
		{ "g4", "order=9 swapcache large_mapcount=1 refcount=513", true, false, "" },
		{ "g5", "order=9 swapcache large_mapcount=1 refcount=513", true, false, "" },
		{ "g5", "order=9 swapcache large_mapcount=1 refcount=513", true, true, "wx" },
		{ "g5-late", "order=9 swapcache large_mapcount=1 refcount=513", true, false, "wx" },
		{ "g6", "order=4 swapcache large_mapcount=1 refcount=17", true, false, "wx" },
		{ "g6", "order=4 swapcache large_mapcount=1 refcount=17", false, false, "" },
		{ "g6", "order=4 swapcache large_mapcount=1 refcount=17 swapcount=1", true, false,
		  "" },
	};

	for (size_t i = 0; i < ct_array_size(rows); i++) {
		enum cowtrace_model_id id;
		struct cowtrace_page_state st;
		struct cowtrace_swapin got;
		struct ct_err err;

		assert_int_equal(cowtrace_model_find(rows[i].model, &id), 0);
		assert_int_equal(ct_state_parse(rows[i].state, &st, &err), 0);
		assert_int_equal(cowtrace_policy_swapin(id, &st, rows[i].write, rows[i].mark, &got),
				 0);
		assert_int_equal(got.writable, !!strchr(rows[i].want, 'w'));
		assert_int_equal(got.exclusive, !!strchr(rows[i].want, 'x'));
	}
}

/* The third process is not remembered: measured on 6.18 as "shared" for ever. */
static void test_owners_third(void **state)
{
	for (unsigned int survivor = 1; survivor <= 3; survivor++) {
		struct cowtrace_owners own = { 0 };

		for (u32 id = 1; id <= 3; id++) {
			cowtrace_owners_map(&own, id, 512);
			assert_int_equal(own.shared, id > 1);
		}
		for (u32 id = 1; id <= 3; id++)
			if (id != survivor)
				cowtrace_owners_unmap(&own, id, 512);
		assert_int_equal(own.total, 512);
		assert_int_equal(own.shared, survivor == 3);
	}
}

static void test_owners_two(void **state)
{
	struct cowtrace_owners own = { 0 };

	cowtrace_owners_map(&own, 7, 1);
	cowtrace_owners_map(&own, 7, 511);
	assert_false(own.shared);
	cowtrace_owners_map(&own, 8, 1);
	assert_true(own.shared);
	cowtrace_owners_unmap(&own, 7, 511);
	assert_true(own.shared);
	cowtrace_owners_unmap(&own, 7, 1);
	assert_false(own.shared);
	assert_int_equal(own.count[1], 1);
	/* The free first slot is taken while somebody else maps: shared. */
	cowtrace_owners_map(&own, 9, 2);
	assert_true(own.shared);
	assert_int_equal(own.id[0], 9);
	cowtrace_owners_unmap(&own, 8, 1);
	assert_false(own.shared);
	cowtrace_owners_unmap(&own, 9, 2);
	assert_int_equal(own.total, 0);
	assert_false(own.shared);
}

static const char *few(unsigned int i)
{
	static const char *const words[] = { "play", NULL, "probe" };

	return words[i];
}

static void test_nearest(void **state)
{
	assert_string_equal(ct_name_nearest("plya", few, 3), "play");
	assert_string_equal(ct_name_nearest("prob", few, 3), "probe");
	assert_null(ct_name_nearest("xyz", few, 3));
	assert_null(ct_name_nearest("", few, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_models),	    cmocka_unit_test(test_names),
		cmocka_unit_test(test_fields),	    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_not_refused), cmocka_unit_test(test_place),
		cmocka_unit_test(test_errors),	    cmocka_unit_test(test_fork),
		cmocka_unit_test(test_swapin),	    cmocka_unit_test(test_owners_third),
		cmocka_unit_test(test_owners_two),  cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
