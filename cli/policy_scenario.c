/* SPDX-License-Identifier: MIT */
/*
 * Scenario files: words to ledger events.  One event a line; '#' begins a comment.
 * The language is told in docs/cow-generations.md.
 *
 * Invariant: names are the scenario's, numbers the ledger's: processes count from
 * 1, and each region gets room of its own, aligned to a huge page.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/parse.h"
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

static int say(struct player *pl, const char *fmt, const char *word)
{
	char text[256];

	/* Only our own sentences come as `fmt`. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), fmt, word);
#pragma GCC diagnostic pop
	return ct_err_set(pl->err, -EINVAL, "%s:%d: %s", pl->sc->name, pl->line->nr, text);
}

static const char *word(const struct player *pl, int i)
{
	return i < pl->line->nr_words ? pl->line->words[i] : "";
}

static struct proc *find_proc(struct player *pl, const char *name)
{
	for (int i = 0; i < MAX_PROCS; i++)
		if (pl->procs[i].pid && !strcmp(pl->procs[i].name, name))
			return &pl->procs[i];
	return NULL;
}

static int want_proc(struct player *pl, int i, struct proc **ret)
{
	*ret = find_proc(pl, word(pl, i));
	return *ret ? 0 : say(pl, "there is no process \"%s\"", word(pl, i));
}

static int want_region(struct player *pl, struct proc *p, int i, struct region **ret)
{
	for (int r = 0; r < MAX_REGIONS; r++) {
		if (!p->regions[r].nr || strcmp(p->regions[r].name, word(pl, i)))
			continue;
		*ret = &p->regions[r];
		return 0;
	}
	return say(pl, "the process has no region \"%s\"", word(pl, i));
}

static bool number(const char *text, const char **end, u64 *ret)
{
	char *stop;

	if (!isdigit((unsigned char)*text))
		return false;
	*ret = strtoull(text, &stop, 10);
	*end = stop;
	return true;
}

/* "7", "0-511", "all"; an absent word is all. */
static int want_range(struct player *pl, const struct region *r, int i, u64 *ret_page, u64 *ret_nr)
{
	const char *text = word(pl, i);
	u64 first, last;

	*ret_page = r->page;
	*ret_nr = r->nr;
	if (!*text || !strcmp(text, "all"))
		return 0;
	if (!number(text, &text, &first))
		return say(pl, "\"%s\" is no range of pages: 7, 0-511, all", word(pl, i));
	last = first;
	if (*text == '-' && !number(text + 1, &text, &last))
		return say(pl, "\"%s\" is no range of pages: 7, 0-511, all", word(pl, i));
	if (*text || last < first)
		return say(pl, "\"%s\" is no range of pages: 7, 0-511, all", word(pl, i));
	if (last >= r->nr)
		return say(pl, "page range %s leaves the region", word(pl, i));
	*ret_page = r->page + first;
	*ret_nr = last - first + 1;
	return 0;
}

struct target {
	struct proc *p;
	struct region *r;
	u64 page, nr;
};

/* EVENT P A [RANGE] */
static int want_target(struct player *pl, int i, struct target *ret)
{
	int rc = want_proc(pl, i, &ret->p);

	if (!rc)
		rc = want_region(pl, ret->p, i + 1, &ret->r);
	if (!rc)
		rc = want_range(pl, ret->r, i + 2, &ret->page, &ret->nr);
	return rc;
}

static int new_proc(struct player *pl, const char *name, struct proc **ret)
{
	for (int i = 0; i < MAX_PROCS; i++) {
		if (pl->procs[i].pid)
			continue;
		memset(&pl->procs[i], 0, sizeof(pl->procs[i]));
		snprintf(pl->procs[i].name, NAME_LEN, "%s", name);
		pl->procs[i].pid = ++pl->next_pid;
		*ret = &pl->procs[i];
		return 0;
	}
	return say(pl, "too many processes, with \"%s\"", name);
}

static const char *const kinds[] = { "4k", "mthp64", "thp", "file", "shared", "hugetlb", NULL };

static int do_map(struct player *pl)
{
	struct proc *p = find_proc(pl, word(pl, 1));
	const char *end = "";
	struct region *r = NULL;
	int kind = 0, rc = 0;
	u64 nr;

	if (!number(word(pl, 3), &end, &nr) || *end || !nr || nr > 1ULL << 32)
		return say(pl, "\"%s\" is no number of pages", word(pl, 3));
	while (kinds[kind] && strcmp(kinds[kind], word(pl, 4)))
		kind++;
	if (!kinds[kind])
		return say(pl,
			   "\"%s\" is no kind of memory: 4k, mthp64, thp, file, shared, hugetlb",
			   word(pl, 4));
	if (!p) {
		rc = new_proc(pl, word(pl, 1), &p);
		if (!rc)
			rc = ct_ledger_spawn(pl->ledger, p->pid);
	}
	for (int i = 0; i < MAX_REGIONS && !rc && !r; i++)
		if (!p->regions[i].nr)
			r = &p->regions[i];
	if (rc || !r)
		return rc ? rc : say(pl, "too many regions, with \"%s\"", word(pl, 2));
	snprintf(r->name, sizeof(r->name), "%s", word(pl, 2));
	r->page = pl->next_page;
	r->nr = nr;
	pl->next_page += (nr + 3 * UNIT) & ~(u64)(UNIT - 1);
	return ct_ledger_map(pl->ledger, p->pid, r->page, nr, (enum ct_backing)kind);
}

static int do_fork(struct player *pl)
{
	struct proc *p, *child;
	int rc;

	rc = want_proc(pl, 1, &p);
	if (!rc && find_proc(pl, word(pl, 2)))
		rc = say(pl, "there is a process \"%s\" already", word(pl, 2));
	if (!rc)
		rc = new_proc(pl, word(pl, 2), &child);
	if (rc)
		return rc;
	memcpy(child->regions, p->regions, sizeof(child->regions));
	return ct_ledger_fork(pl->ledger, p->pid, child->pid, &pl->effect);
}

static int do_exit(struct player *pl)
{
	struct proc *p;
	int rc;

	rc = want_proc(pl, 1, &p);
	if (rc)
		return rc;
	rc = ct_ledger_exit(pl->ledger, p->pid);
	p->pid = 0;
	return rc;
}

static int do_exec(struct player *pl)
{
	struct proc *p;
	int rc;

	rc = want_proc(pl, 1, &p);
	if (rc)
		return rc;
	memset(p->regions, 0, sizeof(p->regions));
	return ct_ledger_exec(pl->ledger, p->pid);
}

#define ON_TARGET(name, call)                                                                  \
	static int do_##name(struct player *pl)                                                \
	{                                                                                      \
		struct target t;                                                               \
		int rc = want_target(pl, 1, &t);                                               \
                                                                                               \
		return rc ? rc                                                                 \
			  : ct_ledger_##call(pl->ledger, t.p->pid, t.page, t.nr, &pl->effect); \
	}

ON_TARGET(write, write)
ON_TARGET(read, read)
ON_TARGET(unmap, unmap)
ON_TARGET(dontneed, dontneed)
ON_TARGET(free, free)
ON_TARGET(pageout, pageout)
ON_TARGET(split, split)

static int do_unmerge(struct player *pl)
{
	struct target t;
	int rc;

	/* MADV_UNMERGEABLE is of a mapping, and so is this. */
	rc = want_proc(pl, 1, &t.p);
	if (!rc)
		rc = want_region(pl, t.p, 2, &t.r);
	return rc ? rc : ct_ledger_unmerge(pl->ledger, t.p->pid, t.r->page, t.r->nr, &pl->effect);
}

static int do_collapse(struct player *pl)
{
	struct target t;
	int rc = want_target(pl, 1, &t);

	return rc ? rc : ct_ledger_collapse(pl->ledger, t.p->pid, t.page, t.nr);
}

static int do_protect(struct player *pl)
{
	bool rw = !strcmp(word(pl, 4), "rw");
	struct target t;
	int rc = want_target(pl, 1, &t);

	if (!rc && !rw && strcmp(word(pl, 4), "ro"))
		rc = say(pl, "\"%s\" is neither ro nor rw", word(pl, 4));
	return rc ? rc : ct_ledger_protect(pl->ledger, t.p->pid, t.page, t.nr, rw, &pl->effect);
}

static int do_remap(struct player *pl)
{
	bool mis = !strcmp(word(pl, 3), "misaligned");
	struct region *r;
	struct proc *p;
	u64 to;
	int rc;

	rc = want_proc(pl, 1, &p);
	if (!rc)
		rc = want_region(pl, p, 2, &r);
	if (!rc && !mis && strcmp(word(pl, 3), "aligned"))
		rc = say(pl, "\"%s\" is neither aligned nor misaligned", word(pl, 3));
	if (rc)
		return rc;
	to = pl->next_page + (mis ? 16 : 0);
	pl->next_page += (r->nr + 4 * UNIT) & ~(u64)(UNIT - 1);
	rc = ct_ledger_remap(pl->ledger, p->pid, r->page, r->nr, to, &pl->effect);
	if (!rc)
		r->page = to;
	return rc;
}

/* advise P A [RANGE] ADVICE */
static int do_advise(struct player *pl)
{
	static const char *const names[] = { "dontfork", "dofork",     "wipeonfork", "keeponfork",
					     "hugepage", "nohugepage", NULL };
	const char *advice = word(pl, pl->line->nr_words - 1);
	struct target t = { 0 };
	int rc, i = 0;

	rc = want_proc(pl, 1, &t.p);
	if (!rc)
		rc = want_region(pl, t.p, 2, &t.r);
	if (!rc)
		rc = want_range(pl, t.r, pl->line->nr_words > 4 ? 3 : MAX_WORDS, &t.page, &t.nr);
	/* Merging is an event of its own: `merge`. */
	if (rc || !strcmp(advice, "mergeable"))
		return rc;
	if (!strcmp(advice, "unmergeable"))
		return ct_ledger_unmerge(pl->ledger, t.p->pid, t.page, t.nr, &pl->effect);
	while (names[i] && strcmp(names[i], advice))
		i++;
	if (!names[i])
		return say(pl, "\"%s\" is no advice", advice);
	return ct_ledger_advise(pl->ledger, t.p->pid, t.page, t.nr, (enum ct_advice)i, &pl->effect);
}

static int do_merge(struct player *pl)
{
	struct target a, b;
	int rc;

	rc = want_target(pl, 1, &a);
	if (!rc)
		rc = want_target(pl, 4, &b);
	if (!rc && (a.nr != 1 || b.nr != 1))
		rc = say(pl, "merge takes one page of each: merge P A 0 Q B 0%s", "");
	if (rc)
		return rc;
	rc = ct_ledger_merge(pl->ledger, a.p->pid, a.page, b.p->pid, b.page, &pl->effect);
	return rc == -EBUSY ? say(pl, "a pinned page cannot be merged%s", "") : rc;
}

static int do_pin(struct player *pl)
{
	bool longterm = !strcmp(word(pl, 4), "longterm");
	struct target t;
	int rc = want_target(pl, 1, &t);

	if (!rc && !longterm && strcmp(word(pl, 4), "get"))
		rc = say(pl, "\"%s\" is neither get nor longterm", word(pl, 4));
	return rc ? rc
		  : ct_ledger_pin(pl->ledger, t.p->pid, t.page,
				  longterm ? CT_PIN_LONGTERM : CT_PIN_GET, &pl->effect);
}

static int do_unpin(struct player *pl)
{
	struct target t;
	int rc = want_target(pl, 1, &t);

	return rc ? rc : ct_ledger_unpin(pl->ledger, t.p->pid, t.page);
}

static int do_drain(struct player *pl)
{
	return ct_ledger_drain(pl->ledger);
}

static int do_option(struct player *pl)
{
	return 0; /* read before the ledger was made */
}

static const struct {
	const char *name;
	int min, max; /* words, the event's own included */
	int (*fn)(struct player *pl);
} events[] = {
	{ "map", 5, 5, do_map },	 { "write", 3, 5, do_write },
	{ "read", 3, 4, do_read },	 { "fork", 3, 3, do_fork },
	{ "exit", 2, 2, do_exit },	 { "exec", 2, 2, do_exec },
	{ "unmap", 3, 4, do_unmap },	 { "dontneed", 3, 4, do_dontneed },
	{ "free", 3, 4, do_free },	 { "protect", 5, 5, do_protect },
	{ "remap", 4, 4, do_remap },	 { "advise", 4, 5, do_advise },
	{ "merge", 7, 7, do_merge },	 { "unmerge", 3, 4, do_unmerge },
	{ "pageout", 3, 4, do_pageout }, { "pin", 5, 5, do_pin },
	{ "unpin", 4, 4, do_unpin },	 { "collapse", 3, 4, do_collapse },
	{ "split", 3, 4, do_split },	 { "drain", 1, 1, do_drain },
	{ "option", 2, 3, do_option },
};

static int event_index(const char *name)
{
	for (size_t i = 0; i < ct_array_size(events); i++)
		if (!strcmp(events[i].name, name))
			return i;
	return -1;
}

static const char *event_at(unsigned int i)
{
	return events[i].name;
}

static int check_line(const struct ct_scenario *sc, const struct line *ln, struct ct_err *err)
{
	int i = event_index(ln->words[0]);
	const char *near;

	if (i >= 0 && ln->nr_words >= events[i].min && ln->nr_words <= events[i].max)
		return 0;
	if (i >= 0)
		return ct_err_set(err, -EINVAL, "%s:%d: \"%s\" with %d words: it has %d to %d",
				  sc->name, ln->nr, ln->words[0], ln->nr_words, events[i].min,
				  events[i].max);
	near = ct_name_nearest(ln->words[0], event_at, ct_array_size(events));
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

static int read_options(struct player *pl)
{
	for (size_t i = 0; i < pl->sc->nr_lines; i++) {
		pl->line = &pl->sc->lines[i];
		if (strcmp(word(pl, 0), "option"))
			continue;
		if (!strcmp(word(pl, 1), "nodrain"))
			pl->opts.batches = true;
		else if (strcmp(word(pl, 1), "swap"))
			return say(pl, "there is no option \"%s\"", word(pl, 1));
		else if (!strcmp(word(pl, 2), "sync"))
			pl->opts.sync_swap = true;
		else if (strcmp(word(pl, 2), "async"))
			return say(pl, "swap is sync or async, not \"%s\"", word(pl, 2));
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
	rc = events[event_index(word(pl, 0))].fn(pl);
	if (!rc || pl->err->text[0])
		return rc;
	return ct_err_set(pl->err, rc, "%s:%d: %s: %s", pl->sc->name, pl->line->nr, word(pl, 0),
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
		if (rc || !strcmp(word(pl, 0), "option"))
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
