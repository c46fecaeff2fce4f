/* SPDX-License-Identifier: MIT */
/*
 * One playing of a scenario, as the file that reads scenarios (policy_scenario.c),
 * the events (policy_events.c) and the player (policy_player.c) share it.
 */
#ifndef CT_CLI_POLICY_PLAYER_H
#define CT_CLI_POLICY_PLAYER_H

#include "policy_scenario.h"

#define MAX_WORDS 8
#define MAX_PROCS 256
#define MAX_REGIONS 16
#define NAME_LEN 16
#define UNIT CT_HUGE_PAGES

struct line {
	int nr; /* of the file */
	int nr_words;
	char *words[MAX_WORDS + 1];
	char *event;
};

struct ct_scenario {
	char name[128];
	struct line *lines;
	size_t nr_lines;
};

struct region {
	char name[NAME_LEN];
	u64 page, nr;
};

struct proc {
	char name[NAME_LEN];
	u32 pid; /* 0: gone, or never */
	struct region regions[MAX_REGIONS];
};

/* One playing. */
struct player {
	const struct ct_scenario *sc;
	const struct line *line;
	struct ct_ledger *ledger;
	struct ct_ledger_options opts;
	struct ct_effect effect;
	struct proc procs[MAX_PROCS];
	u32 next_pid;
	u64 next_page;
	struct ct_err *err;
};

struct event {
	const char *name;
	int min, max; /* words, its own included */
	int (*fn)(struct player *pl);
};

/* NULL: there is no such event. */
const struct event *ct_event_find(const char *name);
/* What may have been meant, or NULL. */
const char *ct_event_nearest(const char *name);

/* -EINVAL, with the file, the line, and the sentence: `word` is its one "%s". */
int ct_player_say(struct player *pl, const char *fmt, const char *word);

/* Word `i` of the line; "" beyond its end. */
static inline const char *ct_player_word(const struct player *pl, int i)
{
	return i < pl->line->nr_words ? pl->line->words[i] : "";
}

#endif
