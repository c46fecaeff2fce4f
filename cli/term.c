/* SPDX-License-Identifier: MIT */
/*
 * Terminals: their width, whether colour is wanted, and text that must not do
 * anything to them.  No curses: bold, dim and two colours are all there is.
 *
 * Invariant: without a terminal not one escape sequence is written.
 */
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "term.h"

#define DEFAULT_WIDTH 100
#define MIN_WIDTH 60

static int find_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws;
	int width = DEFAULT_WIDTH;

	if (!ioctl(fd, TIOCGWINSZ, &ws) && ws.ws_col)
		width = ws.ws_col;
	else if (columns && atoi(columns) > 0)
		width = atoi(columns);
	return ct_max(width, MIN_WIDTH);
}

void ct_term_init(struct ct_term *t, FILE *out)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	t->out = out;
	t->width = find_width(fileno(out));
	t->color =
		isatty(fileno(out)) && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
}

void ct_style_on(const struct ct_term *t, enum ct_style s)
{
	static const char *const codes[] = {
		[CT_BOLD] = "\033[1m",
		[CT_DIM] = "\033[2m",
		[CT_WARN] = "\033[33m",
		[CT_BAD] = "\033[1;31m",
	};

	if (t->color && s != CT_PLAIN)
		fputs(codes[s], t->out);
}

void ct_style_off(const struct ct_term *t, enum ct_style s)
{
	if (t->color && s != CT_PLAIN)
		fputs("\033[0m", t->out);
}

static bool is_continuation(char c)
{
	return ((u8)c & 0xc0) == 0x80;
}

int ct_text_width(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += !is_continuation(*s);
	return n;
}

/* Bytes of the first `columns` characters of s. */
static size_t prefix_len(const char *s, int columns)
{
	size_t i = 0;

	for (; s[i]; i++)
		if (!is_continuation(s[i]) && columns-- == 0)
			break;
	return i;
}

int ct_print_text(const struct ct_term *t, const char *s, int columns)
{
	int width = ct_text_width(s);
	bool cut;
	size_t len;

	columns = ct_max(columns, 0);
	cut = width > columns && columns > 3;
	len = prefix_len(s, cut ? columns - 3 : columns);

	for (size_t i = 0; i < len; i++)
		fputc((u8)s[i] < 32 || s[i] == 127 ? '?' : s[i], t->out);
	if (cut)
		fputs("...", t->out);
	return ct_min(width, columns);
}

void ct_printf_styled(const struct ct_term *t, enum ct_style style, const char *fmt, ...)
{
	va_list ap;

	ct_style_on(t, style);
	va_start(ap, fmt);
	vfprintf(t->out, fmt, ap);
	va_end(ap);
	ct_style_off(t, style);
}

void ct_print_wrapped(const struct ct_term *t, int indent, const char *s)
{
	int column = 0;

	while (*s) {
		size_t len = strcspn(s, " \n");
		ct_auto_free char *word = strndup(s, len);
		int width = word ? ct_text_width(word) : 0;

		if (column && column + 1 + width > t->width) {
			fputc('\n', t->out);
			column = 0;
		}
		column += fprintf(t->out, "%*s", column ? 1 : indent, "");
		if (word)
			column += ct_print_text(t, word, width);
		s += len;
		s += strspn(s, " \n");
	}
	fputc('\n', t->out);
}
