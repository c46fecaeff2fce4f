/* SPDX-License-Identifier: MIT */
/*
 * Options from argv into a struct, by the tables of opt.h.  Prints errors; help
 * is in help.c.
 *
 * Invariant: every mistake ends in one line that names it, and the word that was
 * probably meant where one is near.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "exit.h"
#include "opt.h"

#define MAX_OPTS 48
#define HELP 1 /* val of --help in the long options: no letter */

const struct ct_command *ct_command_find(const char *name)
{
	for (size_t i = 0; ct_commands[i]; i++)
		if (!strcmp(ct_commands[i]->name, name))
			return ct_commands[i];
	return NULL;
}

int ct_usage_error(const struct ct_command *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "cowtrace %s: ", cmd->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (see `cowtrace %s --help`)\n", cmd->name);
	return CT_EXIT_USAGE;
}

/* Levenshtein distance, of words up to 31 letters. */
static int distance(const char *a, const char *b)
{
	int row[32];
	size_t la = strlen(a), lb = strlen(b);

	if (la > 31 || lb > 31)
		return 99;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (int)j;
	for (size_t i = 1; i <= la; i++) {
		int diagonal = row[0];

		row[0] = (int)i;
		for (size_t j = 1; j <= lb; j++) {
			int change = diagonal + (a[i - 1] != b[j - 1]);

			int skip = ct_min(row[j - 1], row[j]) + 1;

			diagonal = row[j];
			row[j] = ct_min(change, skip);
		}
	}
	return row[lb];
}

const char *ct_nearest(const char *word, const char *const *list)
{
	const char *best = NULL;
	/* A third of the letters may differ: beyond that a guess only confuses. */
	int limit = ct_max((int)strlen(word) / 3, 1) + 1;

	for (; *list; list++) {
		int d = distance(word, *list);

		if (d < limit) {
			limit = d;
			best = *list;
		}
	}
	return best;
}

/* The tables as getopt_long wants them. */
struct getopt_tables {
	struct option longs[MAX_OPTS + 2];
	char shorts[2 * MAX_OPTS + 8];
};

static void build_tables(const struct ct_command *cmd, struct getopt_tables *t)
{
	size_t n = 0, s = 0;

	memset(t, 0, sizeof(*t));
	/* '+': stop at the first operand.  ':': tell a missing argument apart. */
	if (cmd->passes_options_on)
		t->shorts[s++] = '+';
	t->shorts[s++] = ':';
	t->shorts[s++] = 'h';
	for (const struct ct_opt *o = cmd->opts; o->name && n < MAX_OPTS; o++, n++) {
		t->longs[n] = (struct option){ o->name, o->arg ? required_argument : no_argument,
					       NULL, 256 + (int)n };
		if (!o->letter)
			continue;
		t->shorts[s++] = o->letter;
		if (o->arg)
			t->shorts[s++] = ':';
	}
	t->longs[n] = (struct option){ "help", no_argument, NULL, HELP };
}

static const struct ct_opt *opt_of(const struct ct_command *cmd, int val)
{
	if (val >= 256)
		return &cmd->opts[val - 256];
	for (const struct ct_opt *o = cmd->opts; o->name; o++)
		if (o->letter && o->letter == val)
			return o;
	return NULL;
}

static int parse_count(const char *s, u64 *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return errno || !isdigit((unsigned char)*s) || *end ? -EINVAL : 0;
}

static int parse_seconds(const char *s, u64 *ret)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "", 1e9 }, { "s", 1e9 },  { "ms", 1e6 },   { "us", 1e3 },
		      { "ns", 1 }, { "m", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 } };
	char *end;
	double v;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return -EINVAL;
	v = strtod(s, &end);
	for (size_t i = 0; i < ct_array_size(units); i++) {
		if (strcmp(end, units[i].unit))
			continue;
		v *= units[i].ns;
		/* 2^63 ns are 292 years. */
		if (!(v >= 0 && v < 9.2e18))
			return -EINVAL;
		*ret = (u64)(v + 0.5);
		return 0;
	}
	return -EINVAL;
}

static int parse_bytes(const char *s, u64 *ret)
{
	static const char units[] = "kMGT";
	const char *unit;
	char *end;
	long power;
	double v;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	v = strtod(s, &end);
	unit = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
	if (unit)
		end++;
	if (*end == 'B')
		end++;
	if (*end)
		return -EINVAL;
	for (power = unit ? unit - units + 1 : 0; power; power--)
		v *= 1024;
	if (!(v >= 0 && v < 9.2e18))
		return -EINVAL;
	*ret = (u64)v;
	return 0;
}

/* Is word one of "a|b|c"? */
static bool is_choice(const char *choices, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = choices; p; p = strchr(p, '|')) {
		if (*p == '|')
			p++;
		if (!strncmp(p, word, len) && (p[len] == '|' || !p[len]))
			return true;
	}
	return false;
}

static int store_value(const struct ct_command *cmd, const struct ct_opt *o, const char *arg,
		       void *values)
{
	void *where = (char *)values + o->offset;

	switch (o->type) {
	case CT_OPT_FLAG:
		*(bool *)where = true;
		return 0;
	case CT_OPT_CHOICE:
		if (!is_choice(o->choices, arg))
			return ct_usage_error(cmd, "--%s takes one of %s, not '%s'", o->name,
					      o->choices, arg);
		*(const char **)where = arg;
		return 0;
	case CT_OPT_STRING:
		*(const char **)where = arg;
		return 0;
	case CT_OPT_COUNT:
		if (parse_count(arg, where))
			return ct_usage_error(cmd, "--%s takes a number, not '%s'", o->name, arg);
		return 0;
	case CT_OPT_BYTES:
		if (parse_bytes(arg, where))
			return ct_usage_error(
				cmd,
				"--%s takes a size such as 4096 (bytes), 64M or 1.5G, not '%s'",
				o->name, arg);
		return 0;
	case CT_OPT_SECONDS:
		if (parse_seconds(arg, where))
			return ct_usage_error(cmd,
					      "--%s takes a time such as 1.5 (seconds) or 200ms, "
					      "not '%s'",
					      o->name, arg);
		return 0;
	}
	return CT_EXIT_FAILED;
}

static int unknown_option(const struct ct_command *cmd, const struct getopt_tables *t,
			  const char *word, int letter)
{
	const char *names[MAX_OPTS + 2] = { NULL };
	const char *near;
	char plain[32];

	if (letter && strncmp(word, "--", 2))
		return ct_usage_error(cmd, "there is no option -%c", letter);
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	for (size_t i = 0; t->longs[i].name; i++) {
		names[i] = t->longs[i].name;
		if (!strcmp(plain, names[i]))
			return ct_usage_error(cmd, "--%s takes no argument", plain);
	}
	near = ct_nearest(plain, names);
	if (near)
		return ct_usage_error(cmd, "there is no option --%s: did you mean --%s?", plain,
				      near);
	return ct_usage_error(cmd, "there is no option --%s", plain);
}

static int missing_argument(const struct ct_command *cmd, int val)
{
	const struct ct_opt *o = opt_of(cmd, val);

	return ct_usage_error(cmd, "--%s needs an argument: %s", o->name, o->arg);
}

int ct_opt_parse(const struct ct_command *cmd, int argc, char **argv, void *values, int *ret_status)
{
	struct getopt_tables t;

	build_tables(cmd, &t);
	optind = 0; /* glibc: start anew, and look at shorts[0] again */
	opterr = 0;
	for (;;) {
		int before = optind ? optind : 1;
		int val = getopt_long(argc, argv, t.shorts, t.longs, NULL);
		int status;

		if (val == -1)
			return optind;
		if (val == HELP || val == 'h') {
			ct_help_command(stdout, cmd);
			status = CT_EXIT_OK;
		} else if (val == '?') {
			/* A cluster (-ab) leaves optind where it was. */
			const char *word = argv[optind > before ? optind - 1 : before];

			status = unknown_option(cmd, &t, word, optopt < 256 ? optopt : 0);
		} else if (val == ':') {
			status = missing_argument(cmd, optopt);
		} else {
			status = store_value(cmd, opt_of(cmd, val), optarg, values);
			if (!status)
				continue;
		}
		*ret_status = status;
		return -1;
	}
}
