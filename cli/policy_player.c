/* SPDX-License-Identifier: MIT */
/*
 * Plays a scenario: one event after the other through a ledger of its own.  What
 * an event is, is policy_events.c's; printing is policy_play.c's.
 *
 * Invariant: a step is told only if its event happened; the first that cannot
 * happen ends the playing, with a sentence.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy_player.h"

int ct_player_say(struct player *pl, const char *fmt, const char *word)
{
	char text[256];

	/* Only our own sentences come as `fmt`. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), fmt, word);
#pragma GCC diagnostic pop
	return ct_err_set(pl->err, -EINVAL, "%s:%d: %s", pl->sc->name, pl->line->nr, text);
}

static int read_options(struct player *pl)
{
	for (size_t i = 0; i < pl->sc->nr_lines; i++) {
		pl->line = &pl->sc->lines[i];
		if (strcmp(ct_player_word(pl, 0), "option"))
			continue;
		if (!strcmp(ct_player_word(pl, 1), "nodrain"))
			pl->opts.batches = true;
		else if (strcmp(ct_player_word(pl, 1), "swap"))
			return ct_player_say(pl, "there is no option \"%s\"",
					     ct_player_word(pl, 1));
		else if (!strcmp(ct_player_word(pl, 2), "sync"))
			pl->opts.sync_swap = true;
		else if (strcmp(ct_player_word(pl, 2), "async"))
			return ct_player_say(pl, "swap is sync or async, not \"%s\"",
					     ct_player_word(pl, 2));
	}
	return 0;
}

static void joined(const struct line *ln, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (int i = 0; i < ln->nr_words && at < size; i++)
		at += snprintf(buf + at, size - at, "%s%s", i ? " " : "", ln->words[i]);
}

static int play_line(struct player *pl)
{
	int rc;

	memset(&pl->effect, 0, sizeof(pl->effect));
	rc = ct_event_find(ct_player_word(pl, 0))->fn(pl);
	if (!rc || pl->err->text[0])
		return rc;
	return ct_err_set(pl->err, rc, "%s:%d: %s: %s", pl->sc->name, pl->line->nr,
			  ct_player_word(pl, 0),
			  rc == -EFAULT ? "a page is not mapped, or is read-only" : strerror(-rc));
}

static int play_all(struct player *pl, void (*fn)(void *, const struct ct_scenario_step *),
		    void *arg)
{
	char event[256];
	int rc = 0;

	for (size_t i = 0; i < pl->sc->nr_lines && !rc; i++) {
		pl->line = &pl->sc->lines[i];
		rc = play_line(pl);
		if (rc || !strcmp(ct_player_word(pl, 0), "option"))
			continue;
		joined(pl->line, event, sizeof(event));
		fn(arg, &(struct ct_scenario_step){
				.line = pl->line->nr,
				.event = event,
				.effect = &pl->effect,
				.huge = ct_ledger_nr_huge(pl->ledger, 0),
			});
	}
	return rc;
}

int ct_scenario_play(const struct ct_scenario *sc, enum cowtrace_model_id model,
		     void (*fn)(void *arg, const struct ct_scenario_step *step), void *arg,
		     struct ct_err *err)
{
	struct player *pl = calloc(1, sizeof(*pl));
	int rc;

	if (!pl)
		return ct_err_set(err, -ENOMEM, "%s: out of memory", sc->name);
	err->text[0] = '\0';
	pl->sc = sc;
	pl->err = err;
	pl->next_page = 64 * UNIT;
	pl->opts = (struct ct_ledger_options){ .sz = sizeof(pl->opts), .model = model };
	rc = read_options(pl);
	if (!rc)
		rc = ct_ledger_create(&pl->opts, &pl->ledger);
	if (!rc)
		rc = play_all(pl, fn, arg);
	ct_ledger_destroy(pl->ledger);
	free(pl);
	return rc;
}
