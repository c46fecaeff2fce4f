/* SPDX-License-Identifier: MIT */
/*
 * Scenario files, read: one event a line; '#' begins a comment.  The language is
 * told in docs/cow-generations.md.  Names of processes and regions are not looked
 * at yet: they mean something only while it is played.
 *
 * Invariant: each line of a scenario that was loaded is an event, with as many
 * words as it may have.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy_player.h"

static int check_line(const struct ct_scenario *sc, const struct line *ln, struct ct_err *err)
{
	const struct event *ev = ct_event_find(ln->words[0]);
	const char *near;

	if (ev && ln->nr_words >= ev->min && ln->nr_words <= ev->max)
		return 0;
	if (ev)
		return ct_err_set(err, -EINVAL, "%s:%d: \"%s\" with %d words: it has %d to %d",
				  sc->name, ln->nr, ln->words[0], ln->nr_words, ev->min, ev->max);
	near = ct_event_nearest(ln->words[0]);
	if (near)
		return ct_err_set(err, -EINVAL,
				  "%s:%d: there is no event \"%s\": did you mean \"%s\"?", sc->name,
				  ln->nr, ln->words[0], near);
	return ct_err_set(err, -EINVAL, "%s:%d: there is no event \"%s\"", sc->name, ln->nr,
			  ln->words[0]);
}

/* Cuts the words out of `text`, which the line then owns. */
static bool split_words(char *text, struct line *ln)
{
	char *save = NULL;

	ln->event = text;
	text[strcspn(text, "#\n")] = '\0';
	for (char *w = strtok_r(text, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		ln->words[ln->nr_words] = w;
		if (ln->nr_words < MAX_WORDS)
			ln->nr_words++;
	}
	return ln->nr_words > 0;
}

static int add_line(struct ct_scenario *sc, const char *text, int nr, struct ct_err *err)
{
	struct line ln = { .nr = nr };
	struct line *more;
	char *own = strdup(text);

	if (!own)
		return -ENOMEM;
	if (!split_words(own, &ln)) {
		free(own);
		return 0;
	}
	more = realloc(sc->lines, (sc->nr_lines + 1) * sizeof(*more));
	if (!more) {
		free(own);
		return -ENOMEM;
	}
	sc->lines = more;
	sc->lines[sc->nr_lines++] = ln;
	return check_line(sc, &ln, err);
}

int ct_scenario_load(FILE *in, const char *name, struct ct_scenario **ret_sc, struct ct_err *err)
{
	struct ct_scenario *sc = calloc(1, sizeof(*sc));
	char *text = NULL;
	size_t size = 0;
	int rc = sc ? 0 : -ENOMEM;

	if (sc)
		snprintf(sc->name, sizeof(sc->name), "%s", name);
	for (int nr = 1; !rc && getline(&text, &size, in) >= 0; nr++)
		rc = add_line(sc, text, nr, err);
	if (!rc && ferror(in))
		rc = ct_err_set(err, -EIO, "%s: cannot be read", name);
	free(text);
	if (rc) {
		if (rc == -ENOMEM)
			ct_err_set(err, rc, "%s: out of memory", name);
		ct_scenario_free(sc);
		return rc;
	}
	*ret_sc = sc;
	return 0;
}

void ct_scenario_free(struct ct_scenario *sc)
{
	if (!sc)
		return;
	for (size_t i = 0; i < sc->nr_lines; i++)
		free(sc->lines[i].event);
	free(sc->lines);
	free(sc);
}
