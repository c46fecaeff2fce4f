/* SPDX-License-Identifier: MIT */
/*
 * The doctor's findings for people: the answer first, then the engines, then what
 * was tried, with what is lost and what would mend it, then the settings.
 *
 * Invariant: the first word is the answer, and the exit status says the same.
 */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "doctor.h"
#include "term.h"

#define NAME_COLUMNS 20
#define INDENT 8

static void answer(const struct ct_doctor *d, const struct ct_term *term)
{
	static const char *const words[] = { "Full", "Partial", "None" };
	static const enum ct_style styles[] = { CT_BOLD, CT_WARN, CT_BAD };
	struct utsname u = { "" };
	char text[700];

	snprintf(text, sizeof(text), "%s: %s.", words[d->verdict], d->why);
	ct_style_on(term, styles[d->verdict]);
	ct_print_wrapped(term, 0, text);
	ct_style_off(term, styles[d->verdict]);
	uname(&u);
	ct_printf_styled(term, CT_DIM, "Linux %s, %s, as user %u\n", u.release, u.machine,
			 d->probes.place.uid);
}

static void engines(const struct ct_doctor *d, const struct ct_term *term)
{
	static const char *const words[] = { "NO", "less", "ok" };
	static const enum ct_style styles[] = { CT_BAD, CT_WARN, CT_PLAIN };

	ct_printf_styled(term, CT_BOLD, "\nENGINES\n");
	for (enum ct_engine_id id = 0; id < CT_NR_ENGINE_IDS; id++) {
		enum ct_fact missing;
		enum ct_ability can = ct_engine_ability(id, d->facts, &missing);

		if (!ct_engine_is_built(id, d->facts))
			continue;
		fputs("  ", term->out);
		ct_printf_styled(term, styles[can], "%-4s", words[can]);
		fprintf(term->out, "  %-*s %s%s\n", NAME_COLUMNS, ct_engine_id_name(id),
			missing < CT_NR_FACTS ? ct_fact_missing(missing) : "can run",
			id == d->engine ? "  <- --engine auto" : "");
	}
}

static void one(const struct ct_check *c, const struct ct_term *term)
{
	static const char *const words[] = { "ok", "-", "less", "NO" };
	static const enum ct_style styles[] = { CT_PLAIN, CT_DIM, CT_WARN, CT_BAD };

	fputs("  ", term->out);
	ct_printf_styled(term, styles[c->result], "%-4s", words[c->result]);
	fprintf(term->out, "  %-*s %s\n", NAME_COLUMNS, c->name, c->text);
	if (c->loss)
		fprintf(term->out, "%*slost: %s\n", INDENT, "", c->loss);
	for (size_t i = 0; i < c->nr_fixes; i++)
		fprintf(term->out, "%*s%-9s  %s\n", INDENT, "", ct_fix_by_name(c->fixes[i].by),
			c->fixes[i].text);
}

static void settings(const struct ct_doctor *d, const struct ct_term *term)
{
	ct_printf_styled(term, CT_BOLD, "\nSETTINGS, and what they mean for forks\n");
	for (size_t i = 0; i < d->nr_settings; i++) {
		fprintf(term->out, "  %-26s %s\n", d->settings[i].name, d->settings[i].value);
		ct_style_on(term, CT_DIM);
		ct_print_wrapped(term, INDENT, d->settings[i].meaning);
		ct_style_off(term, CT_DIM);
	}
}

int ct_doctor_print(const struct ct_doctor *d)
{
	struct ct_term term;

	ct_term_init(&term, stdout);
	answer(d, &term);
	engines(d, &term);
	ct_printf_styled(&term, CT_BOLD, "\nTRIED\n");
	for (size_t i = 0; i < d->nr_checks; i++)
		one(&d->checks[i], &term);
	settings(d, &term);
	return fflush(stdout) || ferror(stdout) ? -EIO : 0;
}
