/* SPDX-License-Identifier: MIT */
/*
 * What is made of the option tables for people and for the build: --help, the
 * OPTIONS of a man page in roff, bash completion.  Knows no command by name.
 *
 * Invariant: a word of help exists once, in a table.
 */
#include <errno.h>
#include <string.h>

#include "opt.h"

#define HELP_COLUMN 26

/* "-o, --output FILE" */
static int print_names(FILE *out, const struct ct_opt *o)
{
	int n = o->letter ? fprintf(out, "  -%c, ", o->letter) : fprintf(out, "      ");

	n += fprintf(out, "--%s", o->name);
	if (o->arg)
		n += fprintf(out, " %s", o->arg);
	return n;
}

static void print_help_text(FILE *out, int column, const char *help)
{
	if (column + 2 > HELP_COLUMN) {
		fputc('\n', out);
		column = 0;
	}
	for (const char *p = help; p;) {
		const char *end = strchrnul(p, '\n');

		fprintf(out, "%*s%.*s\n", HELP_COLUMN - column, "", (int)(end - p), p);
		column = 0;
		p = *end ? end + 1 : NULL;
	}
}

void ct_help_command(FILE *out, const struct ct_command *cmd)
{
	fprintf(out, "Usage: cowtrace %s [OPTION...] %s\n\n%c%s.\n\n", cmd->name, cmd->operands,
		cmd->summary[0] - 'a' + 'A', cmd->summary + 1);
	for (const struct ct_opt *o = cmd->opts; o->name; o++)
		print_help_text(out, print_names(out, o), o->help);
	print_help_text(out, fprintf(out, "  -h, --help"), "print this and exit");
	if (cmd->details)
		fprintf(out, "\n%s\n", cmd->details);
}

void ct_help_all(FILE *out)
{
	fputs("Usage: cowtrace COMMAND [OPTION...] ...\n\n"
	      "Which writes made the kernel copy memory after fork, how much, and where.\n\n",
	      out);
	for (size_t i = 0; ct_commands[i]; i++)
		if (!ct_commands[i]->hidden)
			fprintf(out, "  %-10s %s\n", ct_commands[i]->name, ct_commands[i]->summary);
	fputs("\n  --version  print the version and exit\n"
	      "  --help     print this and exit; `cowtrace COMMAND --help` says more\n\n"
	      "A first run:\n"
	      "  cowtrace record -o my.cowtrace -- redis-server --port 7000\n"
	      "  cowtrace report my.cowtrace\n",
	      out);
}

/* In roff a leading '.' or '\'' is a request, '\' an escape, '-' a hyphen. */
static void put_roff(FILE *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", out);
	for (; *s; s++) {
		if (*s == '-' || *s == '\\')
			fputc('\\', out);
		fputc(*s == '\n' ? ' ' : *s, out);
	}
}

static void roff_option(FILE *out, const struct ct_opt *o)
{
	fputs(".TP\n", out);
	if (o->letter)
		fprintf(out, ".BR \\-%c \", \" ", o->letter);
	else
		fputs(".BR ", out);
	fputs("\\-\\-", out);
	put_roff(out, o->name);
	if (o->arg)
		fprintf(out, " \" \" \\fI%s\\fR", o->arg);
	fputs("\n", out);
	put_roff(out, o->help);
	fputs(".\n", out);
}

static void roff_options(FILE *out, const struct ct_command *cmd)
{
	for (const struct ct_opt *o = cmd->opts; o->name; o++)
		roff_option(out, o);
	fputs(".TP\n.BR \\-h \", \" \\-\\-help\nprint a summary of the options and exit.\n", out);
}

int ct_help_man(FILE *in, FILE *out)
{
	char line[1024], name[32];

	while (fgets(line, sizeof(line), in)) {
		const struct ct_command *cmd;

		if (sscanf(line, "@OPTIONS %31[^@]@", name) == 1) {
			cmd = ct_command_find(name);
			if (!cmd)
				return -ENOENT;
			roff_options(out, cmd);
		} else if (!strcmp(line, "@COMMANDS@\n")) {
			for (size_t i = 0; ct_commands[i]; i++)
				if (!ct_commands[i]->hidden)
					fprintf(out, ".TP\n.BR cowtrace\\-%s (1)\n%s.\n",
						ct_commands[i]->name, ct_commands[i]->summary);
		} else {
			fputs(line, out);
		}
	}
	return ferror(in) ? -EIO : 0;
}

static void completion_command(FILE *out, const struct ct_command *cmd)
{
	fprintf(out, "\t%s)\n\t\twords=\"--help", cmd->name);
	for (const struct ct_opt *o = cmd->opts; o->name; o++)
		fprintf(out, " --%s", o->name);
	fputs("\"\n\t\tcase $prev in\n", out);
	for (const struct ct_opt *o = cmd->opts; o->name; o++) {
		if (!o->arg)
			continue;
		fprintf(out, "\t\t--%s", o->name);
		if (o->letter)
			fprintf(out, " | -%c", o->letter);
		fputs(") ", out);
		if (o->type == CT_OPT_CHOICE) {
			fputs("values=\"", out);
			for (const char *p = o->choices; *p; p++)
				fputc(*p == '|' ? ' ' : *p, out);
			fputs("\" ;;\n", out);
		} else {
			fprintf(out, "values=@%s ;;\n", o->arg);
		}
	}
	fputs("\t\tesac\n", out);
	if (cmd->passes_options_on)
		fputs("\t\toperands=@COMMAND\n", out);
	fputs("\t\t;;\n", out);
}

void ct_help_completion(FILE *out)
{
	fputs("# bash completion of cowtrace; made from the option tables by the build\n"
	      "_cowtrace()\n{\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal words= values= operands=@FILE i\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W \"",
	      out);
	for (size_t i = 0; ct_commands[i]; i++)
		if (!ct_commands[i]->hidden)
			fprintf(out, "%s ", ct_commands[i]->name);
	fputs("--help --version\" -- \"$cur\"))\n\t\treturn\n\tfi\n"
	      "\tcase ${COMP_WORDS[1]} in\n",
	      out);
	for (size_t i = 0; ct_commands[i]; i++)
		if (!ct_commands[i]->hidden)
			completion_command(out, ct_commands[i]);
	/* Behind "--" stands somebody else's command line: its own completion. */
	fputs("\tesac\n"
	      "\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
	      "\t\tif [ \"${COMP_WORDS[i]}\" = -- ] && declare -F _command_offset >/dev/null; "
	      "then\n"
	      "\t\t\t_command_offset $((i + 1))\n\t\t\treturn\n\t\tfi\n\tdone\n"
	      "\tif [ -z \"$values\" ] && [[ $cur == -* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n\t\treturn\n\tfi\n"
	      "\tcase ${values:-$operands} in\n"
	      "\t@FILE) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
	      "\t@COMMAND) COMPREPLY=($(compgen -c -- \"$cur\")) ;;\n"
	      "\t@NAME) COMPREPLY=($(compgen -u -- \"$cur\")) ;;\n"
	      "\t@*) ;;\n"
	      "\t*) COMPREPLY=($(compgen -W \"$values\" -- \"$cur\")) ;;\n"
	      "\tesac\n}\ncomplete -o filenames -F _cowtrace cowtrace\n",
	      out);
}
