/* SPDX-License-Identifier: MIT */
/*
 * Subcommands and their options, each declared once: parsing, --help, the
 * OPTIONS of the man pages and the shell completion come from these tables.
 *
 * A cmd_x.c has
 *
 *	struct x_options {
 *		const char *output;
 *		bool quiet;
 *	};
 *
 *	static const struct ct_opt x_opts[] = {
 *		{ "output", 'o', CT_OPT_STRING, "FILE", "write to FILE",
 *		  offsetof(struct x_options, output) },
 *		{ "quiet", 'q', CT_OPT_FLAG, NULL, "say nothing",
 *		  offsetof(struct x_options, quiet) },
 *		{ 0 }
 *	};
 *
 *	const struct ct_command ct_command_x = {
 *		.name = "x", .summary = "do x", .operands = "TRACE",
 *		.opts = x_opts, .run = ct_cmd_x,
 *	};
 *
 *	int ct_cmd_x(int argc, char **argv)
 *	{
 *		struct x_options o = { .output = "default" };
 *		int status, first = ct_opt_parse(&ct_command_x, argc, argv, &o, &status);
 *
 *		if (first < 0)
 *			return status;
 *		... argv[first] is the first operand ...
 *	}
 *
 * and one line in commands.c.
 */
#ifndef CT_CLI_OPT_H
#define CT_CLI_OPT_H

#include <stdio.h>

#include "base/base.h"

enum ct_opt_type {
	CT_OPT_FLAG,	/* bool: true when given */
	CT_OPT_STRING,	/* const char *: points into argv */
	CT_OPT_CHOICE,	/* const char *: one of `choices`, points into argv */
	CT_OPT_COUNT,	/* u64: decimal digits */
	CT_OPT_BYTES,	/* u64, from "4096", "64k", "100M", "1.5G", "1T": powers of 1024 */
	CT_OPT_SECONDS, /* u64 of ns, from "1.5", "1.5s", "200ms", "30us", "2m", "6h", "1d" */
};

struct ct_opt {
	const char *name; /* long name; NULL ends the table */
	char letter;	  /* or 0 */
	enum ct_opt_type type;
	const char *arg;     /* what --help calls the argument; NULL for a flag */
	const char *help;    /* a sentence without capital and full stop; may hold "\n" */
	size_t offset;	     /* of the value in the options struct */
	const char *choices; /* CT_OPT_CHOICE: "a|b|c" */
};

struct ct_command {
	const char *name;
	const char *summary;  /* one line for the list of commands */
	const char *operands; /* "TRACE", "[--] COMMAND [ARG...]" */
	const char *details;  /* paragraphs for --help after the options, or NULL */
	const struct ct_opt *opts;
	/* The first operand ends the options: they are those of another command. */
	bool passes_options_on;
	bool hidden;			   /* for our own build: in no list */
	int (*run)(int argc, char **argv); /* argv[0] is the subcommand; returns an exit status */
};

/* All of them, NULL at the end (commands.c). */
extern const struct ct_command *const ct_commands[];

/* The command of that name, or NULL. */
const struct ct_command *ct_command_find(const char *name);

/*
 * Parses argv (argv[0] is the subcommand's name) into *values.
 * Returns the index in argv of the first operand (argc when there is none), or
 * -1 when the command has nothing more to do: then *ret_status is the exit
 * status (0 after --help; CT_EXIT_USAGE after an error that was printed).
 */
int ct_opt_parse(const struct ct_command *cmd, int argc, char **argv, void *values,
		 int *ret_status);

/* "cowtrace CMD: ..." and where to read more, on stderr.  Returns CT_EXIT_USAGE. */
int ct_usage_error(const struct ct_command *cmd, const char *fmt, ...) ct_printf(2, 3);

/* The word of the list that was probably meant, or NULL.  NULL ends the list. */
const char *ct_nearest(const char *word, const char *const *list);

/* What a user reads: a command's help, the list of commands. */
void ct_help_command(FILE *out, const struct ct_command *cmd);
void ct_help_all(FILE *out);

/*
 * What the build makes of the tables.  A man page: "@OPTIONS CMD@" alone on a
 * line becomes the command's options in roff, "@COMMANDS@" the list of commands.
 * 0, -ENOENT (no such command), -EIO.
 */
int ct_help_man(FILE *in, FILE *out);
/* The completion of bash. */
void ct_help_completion(FILE *out);

#endif
