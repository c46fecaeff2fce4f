/* SPDX-License-Identifier: MIT */
/* The option tables' parser, the nearest word, and the % expansion of a trace's name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "commands.h"
#include "exit.h"
#include "record_options.h"

struct values {
	bool quiet;
	const char *output, *format;
	u64 top, since;
};

static const struct ct_opt opts[] = {
	{ "quiet", 'q', CT_OPT_FLAG, NULL, "", offsetof(struct values, quiet), NULL },
	{ "output", 'o', CT_OPT_STRING, "FILE", "", offsetof(struct values, output), NULL },
	{ "format", 0, CT_OPT_CHOICE, "F", "", offsetof(struct values, format), "text|json" },
	{ "top", 'n', CT_OPT_COUNT, "N", "", offsetof(struct values, top), NULL },
	{ "since", 0, CT_OPT_SECONDS, "T", "", offsetof(struct values, since), NULL },
	{ 0 },
};
static const struct ct_command plain = { .name = "plain", .operands = "", .opts = opts };
static const struct ct_command passing = {
	.name = "passing", .operands = "", .opts = opts, .passes_options_on = true
};
const struct ct_command *const ct_commands[] = { &plain, &passing, NULL };

int ct_cmd_record(int argc, char **argv)
{
	return 0;
}

/* The words of a line, split at blanks, parsed.  Returns the first operand's index. */
static int parse(const struct ct_command *cmd, const char *line, struct values *v, int *ret_status)
{
	static char copy[200];
	static char *argv[20];
	int argc = 0;
	char *save = NULL;

	*v = (struct values){ .top = 77 };
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	return ct_opt_parse(cmd, argc, argv, v, ret_status);
}

static void test_values(void **state)
{
	struct values v;
	int status = -1;

	assert_int_equal(
		parse(&plain, "x -q -o a.b --format=json -n5 --since 200ms op", &v, &status), 8);
	assert_true(v.quiet);
	assert_string_equal(v.output, "a.b");
	assert_string_equal(v.format, "json");
	assert_int_equal(v.top, 5);
	assert_int_equal(v.since, 200000000);
	assert_int_equal(parse(&plain, "x", &v, &status), 1);
	assert_int_equal(v.top, 77);
	/* An unambiguous beginning will do. */
	assert_int_equal(parse(&plain, "x --qui", &v, &status), 2);
	assert_true(v.quiet);
}

static void test_operands(void **state)
{
	struct values v;
	int status;

	/* Options of the command behind it are not ours... */
	assert_int_equal(parse(&passing, "x -q cmd -o y", &v, &status), 2);
	assert_null(v.output);
	assert_int_equal(parse(&passing, "x -- -q", &v, &status), 2);
	assert_false(v.quiet);
	/* ...elsewhere they may come last. */
	assert_int_equal(parse(&plain, "x op -o y", &v, &status), 3);
	assert_string_equal(v.output, "y");
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		u64 ns;
	} good[] = { { "0", 0 },   { "1", 1000000000 },	   { "1.5s", 1500000000 }, { "3us", 3000 },
		     { "7ns", 7 }, { "2m", 120000000000 }, { ".25", 250000000 } };
	static const char *const bad[] = { "-1", "x", "1x", "1 s", "", "nan", "inf", "1e30", "s" };
	char line[64];
	struct values v;
	int status;

	for (size_t i = 0; i < ct_array_size(good); i++) {
		snprintf(line, sizeof(line), "x --since %s", good[i].text);
		assert_int_equal(parse(&plain, line, &v, &status), 3);
		assert_int_equal(v.since, good[i].ns);
	}
	for (size_t i = 0; i < ct_array_size(bad); i++) {
		snprintf(line, sizeof(line), "x --since=%s", bad[i]);
		if (!strchr(bad[i], ' ')) {
			assert_int_equal(parse(&plain, line, &v, &status), -1);
			assert_int_equal(status, CT_EXIT_USAGE);
		}
	}
}

static void test_mistakes(void **state)
{
	static const char *const lines[] = { "x -Z",
					     "x -qZ",
					     "x --nope",
					     "x --quiet=1",
					     "x -n",
					     "x --top",
					     "x --top 5x",
					     "x --top 99999999999999999999",
					     "x --format yaml",
					     "x --format tex" };
	struct values v;

	for (size_t i = 0; i < ct_array_size(lines); i++) {
		int status = -1;

		assert_int_equal(parse(&plain, lines[i], &v, &status), -1);
		assert_int_equal(status, CT_EXIT_USAGE);
	}
}

static void test_nearest(void **state)
{
	const char *const words[] = { "record", "report", "policy", NULL };

	assert_string_equal(ct_nearest("recrod", words), "record");
	assert_string_equal(ct_nearest("reprt", words), "report");
	assert_string_equal(ct_nearest("polcy", words), "policy");
	assert_null(ct_nearest("frobnicate", words));
	assert_null(ct_nearest("x", words));
	assert_null(ct_nearest("", words));
}

static void test_expand(void **state)
{
	char want[400], host[256] = "";
	char *name = NULL;

	gethostname(host, sizeof(host) - 1);
	assert_int_equal(ct_expand_name("a-%e-%p-%%-%h", 42, "/usr/bin/redis-server", &name), 0);
	snprintf(want, sizeof(want), "a-redis-server-42-%%-%s", host);
	assert_string_equal(name, want);
	free(name);
	name = NULL;
	assert_int_equal(ct_expand_name("plain", 1, "x", &name), 0);
	assert_string_equal(name, "plain");
	free(name);
	name = NULL;
	assert_int_equal(ct_expand_name("%z", 1, "x", &name), -EINVAL);
	assert_int_equal(ct_expand_name("end%", 1, "x", &name), -EINVAL);
	assert_null(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),	cmocka_unit_test(test_operands),
		cmocka_unit_test(test_times),	cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_nearest), cmocka_unit_test(test_expand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
