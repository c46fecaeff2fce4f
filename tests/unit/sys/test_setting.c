/* SPDX-License-Identifier: MIT */
/*
 * One value of a small file: numbers, the chosen word of several, and what is
 * neither.  And the facts of this very place that something else knows as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "sys/memconf.h"
#include "sys/place.h"
#include "sys/setting.h"

static char path[] = "/tmp/cowtrace-setting-XXXXXX";

static int make(void **state)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int drop(void **state)
{
	return unlink(path);
}

static void put(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void test_number(void **state)
{
	static const struct {
		const char *text;
		int err;
		s64 value;
	} cases[] = {
		{ "0\n", 0, 0 },
		{ "-1\n", 0, -1 },
		{ "3600000", 0, 3600000 },
		{ "9223372036854775807\n", 0, INT64_MAX },
		{ "9223372036854775808\n", -EINVAL, 77 },
		{ "", -EINVAL, 77 },
		{ "\n", -EINVAL, 77 },
		{ "always [madvise] never\n", -EINVAL, 77 },
		{ "1x\n", -EINVAL, 77 },
	};

	for (size_t i = 0; i < ct_array_size(cases); i++) {
		s64 v = 77;

		put(cases[i].text);
		assert_int_equal(ct_setting_number(path, &v), cases[i].err);
		assert_int_equal(v, cases[i].value);
	}
}

static void test_word(void **state)
{
	static const char *const cases[][2] = {
		{ "always [madvise] never\n", "madvise" },
		{ "[always] madvise never\n", "always" },
		{ "inherit\n", "inherit" },
		{ "always defer defer+madvise [a-very-long-word] never\n", "a-very-long-wor" },
		{ "[unclosed\n", "unclosed" },
	};
	char word[16] = "kept";

	for (size_t i = 0; i < ct_array_size(cases); i++) {
		put(cases[i][0]);
		assert_int_equal(ct_setting_word(path, word, sizeof(word)), 0);
		assert_string_equal(word, cases[i][1]);
	}
	strcpy(word, "kept");
	put("\n");
	assert_int_equal(ct_setting_word(path, word, sizeof(word)), -EINVAL);
	assert_int_equal(ct_setting_word("/no/such/file", word, sizeof(word)), -ENOENT);
	assert_string_equal(word, "kept");
}

/* What the place says of itself, against whom else can be asked. */
static void test_place(void **state)
{
	struct rlimit files;
	struct ct_place p;

	ct_place_look(&p);
	assert_int_equal(p.uid, geteuid());
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	assert_int_equal(p.nofile, files.rlim_cur);
	assert_true(p.nofile_max >= files.rlim_max);
	assert_int_equal(p.device == 0, access("/dev/userfaultfd", F_OK) == 0);
	/* This test is run where things can be recorded. */
	assert_int_equal(p.memory, 0);
	assert_int_equal(p.socket, 0);
	assert_int_equal(p.pagemap, 0);
}

static void test_memconf(void **state)
{
	struct ct_memconf m;

	ct_memconf_read(&m);
	assert_int_equal(m.mem_total_kib * 1024 / (s64)CT_PAGE_SIZE, sysconf(_SC_PHYS_PAGES));
	assert_true(m.overcommit >= 0 && m.overcommit <= 2);
	assert_true(m.swap_free_kib <= m.swap_total_kib);
	for (size_t i = 1; i < m.nr_mthp; i++)
		assert_true(m.mthp[i - 1].kib < m.mthp[i].kib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_word),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_memconf),
	};

	return cmocka_run_group_tests(tests, make, drop);
}
