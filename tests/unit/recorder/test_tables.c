/* SPDX-License-Identifier: MIT */
/* The recorder's tables of things that are told once: names, modules, call sites. */
#include "channel/segment.h"
#include "recorder/names.h"
#include "recorder/sites.h"
#include "recorder_util.h"

static void test_names(void **state)
{
	struct ct_names *n = ct_names_create();
	u32 ids[5000];
	char s[32];
	u32 i;

	assert_int_equal(ct_names_id(n, ""), 0);
	assert_string_equal(ct_names_get(n, 0), "");
	assert_string_equal(ct_names_get(n, 1), "");
	for (i = 0; i < ct_array_size(ids); i++) {
		snprintf(s, sizeof(s), "name %u", i * i);
		ids[i] = ct_names_id(n, s);
		assert_int_equal(ids[i], i + 1);
	}
	for (i = 0; i < ct_array_size(ids); i++) {
		snprintf(s, sizeof(s), "name %u", i * i);
		assert_int_equal(ct_names_id(n, s), ids[i]);
		assert_string_equal(ct_names_get(n, ids[i]), s);
	}
	ct_names_destroy(n);
	ct_names_destroy(NULL);
}

static void test_names_bounded(void **state)
{
	struct ct_names *n = ct_names_create();
	u32 i, last = 0;
	char s[32];

	for (i = 0; i <= CT_NAMES_MAX; i++) {
		snprintf(s, sizeof(s), "%u", i);
		last = ct_names_id(n, s);
	}
	assert_int_equal(last, 0);
	/* Those that are there are found. */
	assert_int_equal(ct_names_id(n, "17"), 18);
	snprintf(s, sizeof(s), "%u", CT_NAMES_MAX - 1);
	assert_int_equal(ct_names_id(n, s), CT_NAMES_MAX);
	ct_names_destroy(n);
}

static struct ct_maps maps_of(const char *text)
{
	struct ct_maps m = { .text = strdup(text), .text_len = strlen(text) };

	assert_int_equal(ct_maps_parse(&m), 0);
	return m;
}

static const char two_files[] = "10000-20000 r-xp 00001000 00:01 7 /nowhere/a\n"
				"20000-30000 rw-p 00011000 00:01 7 /nowhere/a\n"
				"40000-50000 r-xp 00000000 00:01 8 /nowhere/b\n"
				"60000-70000 r-xp 00000000 00:00 0 [vdso]\n";
static const char moved[] = "70000-80000 r-xp 00001000 00:01 7 /nowhere/a\n"
			    "90000-a0000 r-xp 00000000 00:02 8 /nowhere/b\n";

static void test_modules(void **state)
{
	struct ct_outbox *out = outbox_open();
	struct ct_modules *mods = ct_modules_create(out);
	struct ct_maps a = maps_of(two_files), b = maps_of(moved);
	struct ct_modmap *ma = ct_modmap_create(mods, 1, &a), *mb = ct_modmap_create(mods, 1, &b);
	struct ct_rec_frame f, g;

	assert_true(ct_modmap_frame(ma, 0x10000, &f));
	assert_int_equal(f.offset, 0x1000);
	assert_string_equal(ct_modules_path(mods, f.module), "/nowhere/a");
	/* The same file elsewhere is the same place; another device is another file. */
	assert_true(ct_modmap_frame(ma, 0x1ffff, &f) && ct_modmap_frame(mb, 0x7ffff, &g));
	/* By field: what lies between them is nobody's. */
	assert_int_equal(f.module, g.module);
	assert_int_equal(f.offset, g.offset);
	assert_true(ct_modmap_frame(ma, 0x40010, &f) && ct_modmap_frame(mb, 0x90010, &g));
	assert_int_not_equal(f.module, g.module);
	assert_int_equal(f.offset, g.offset);
	assert_false(ct_modmap_frame(ma, 0xffff, &f));
	assert_false(ct_modmap_frame(ma, 0x20000, &f)); /* data */
	assert_false(ct_modmap_frame(ma, 0x60000, &f)); /* no file */
	assert_false(ct_modmap_frame(ma, UINT64_MAX, &f));
	assert_false(ct_modmap_frame(NULL, 0x10000, &f));
	assert_string_equal(ct_modules_path(mods, 0), "");
	assert_string_equal(ct_modules_path(mods, 99), "");
	ct_modmap_unref(ct_modmap_ref(ma));
	ct_modmap_unref(ma);
	ct_modmap_unref(mb);
	ct_modules_destroy(mods);
	outbox_close(out);
	ct_maps_fini(&a);
	ct_maps_fini(&b);
}

static void test_sites(void **state)
{
	struct ct_outbox *out = outbox_open();
	struct ct_modules *mods = ct_modules_create(out);
	struct ct_sites *s = ct_sites_create(out, mods);
	struct ct_maps a = maps_of(two_files), b = maps_of(moved);
	struct ct_modmap *ma = ct_modmap_create(mods, 1, &a), *mb = ct_modmap_create(mods, 1, &b);
	const u64 here[] = { 0x10010, 0x10020 }, there[] = { 0x70010, 0x70020 };
	u64 jit[] = { 0x999000, 0x10010 }, many[CT_SITE_PCS + 8] = { 0 };
	u32 id, i, first;

	assert_int_equal(ct_sites_id(s, ma, here, 0), 0);
	id = ct_sites_id(s, ma, here, 2);
	assert_int_equal(id, 1);
	/* One row, whatever the address layout. */
	assert_int_equal(ct_sites_id(s, mb, there, 2), id);
	assert_int_not_equal(ct_sites_id(s, ma, here, 1), id);
	assert_string_equal(ct_modules_path(mods, ct_sites_leaf_module(s, id)), "/nowhere/a");
	id = ct_sites_id(s, ma, jit, 2);
	assert_int_equal(ct_sites_leaf_module(s, id), 0);
	assert_int_equal(ct_sites_leaf_module(s, 0), 0);
	assert_int_equal(ct_sites_leaf_module(s, UINT32_MAX), 0);
	/* More frames than a site has are cut off; no map at all is fine. */
	first = ct_sites_id(s, NULL, many, ct_array_size(many));
	assert_int_equal(ct_sites_id(s, NULL, many, CT_SITE_PCS), first);
	/* Enough to make it grow, and each is found again. */
	for (i = 0; i < 2000; i++) {
		jit[0] = 0x1000000 + i;
		assert_int_equal(ct_sites_id(s, ma, jit, 2), first + 1 + i);
	}
	for (i = 0; i < 2000; i++) {
		jit[0] = 0x1000000 + i;
		assert_int_equal(ct_sites_id(s, ma, jit, 2), first + 1 + i);
	}
	assert_string_equal(ct_modules_path(mods, ct_sites_leaf_module(s, 1)), "/nowhere/a");
	ct_modmap_unref(ma);
	ct_modmap_unref(mb);
	ct_sites_destroy(s);
	ct_sites_destroy(NULL);
	ct_modules_destroy(mods);
	ct_modules_destroy(NULL);
	outbox_close(out);
	ct_maps_fini(&a);
	ct_maps_fini(&b);
}

static void test_sites_bounded(void **state)
{
	struct ct_outbox *out = outbox_open();
	struct ct_sites *s = ct_sites_create(out, NULL);
	u64 pc, last = 0;

	for (pc = 1; pc <= CT_SITES_MAX + 1; pc++)
		last = ct_sites_id(s, NULL, &pc, 1);
	assert_int_equal(last, 0);
	pc = 5;
	assert_int_equal(ct_sites_id(s, NULL, &pc, 1), 5);
	ct_sites_destroy(s);
	outbox_close(out);
}

static int cleanup(void **state)
{
	remove_trace();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	      cmocka_unit_test(test_names_bounded),
		cmocka_unit_test(test_modules),	      cmocka_unit_test(test_sites),
		cmocka_unit_test(test_sites_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, cleanup);
}
