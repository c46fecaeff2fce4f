/* SPDX-License-Identifier: MIT */
/*
 * Text to page states.  A user names what matters; the rest is filled in as the
 * kernel would have it: a large folio's counts from its order, the references
 * from the mappings, the swap cache and the LRU batch.
 *
 * Invariant: a state that is returned has passed cowtrace_page_state_check().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "policy/parse.h"

#define F(name) COWTRACE_BIT(COWTRACE_FIELD_##name)
#define MAX_WORD 64
/* FOLL_PIN adds this much to a small page's count (GUP_PIN_COUNTING_BIAS). */
#define PIN_BIAS 1024

/* Levenshtein's distance; words are short. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[MAX_WORD + 1];
	size_t len = ct_min(strlen(b), (size_t)MAX_WORD);

	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		unsigned int diag = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < len; j++) {
			unsigned int subst = diag + (a[i] != b[j]);
			unsigned int gap = ct_min(row[j], row[j + 1]) + 1;

			diag = row[j + 1];
			row[j + 1] = ct_min(subst, gap);
		}
	}
	return row[len];
}

const char *ct_name_nearest(const char *word, const char *(*name_at)(unsigned int i),
			    unsigned int nr)
{
	unsigned int best = strlen(word) / 2 + 1;
	const char *ret = NULL;

	for (unsigned int i = 0; i < nr; i++) {
		const char *name = name_at(i);
		unsigned int d = name ? distance(word, name) : UINT32_MAX;

		if (d >= best)
			continue;
		best = d;
		ret = name;
	}
	return ret;
}

static const char *field_at(unsigned int i)
{
	return cowtrace_field_name(i);
}

static const char *model_at(unsigned int i)
{
	return cowtrace_model_get(i)->name;
}

int ct_model_parse(const char *name, enum cowtrace_model_id *ret_id, struct ct_err *err)
{
	const char *near;

	if (!cowtrace_model_find(name, ret_id))
		return 0;
	near = ct_name_nearest(name, model_at, COWTRACE_NR_MODELS);
	if (near)
		return ct_err_set(err, -EINVAL, "no model is called \"%s\": did you mean \"%s\"?",
				  name, near);
	return ct_err_set(err, -EINVAL,
			  "no model is called \"%s\": give a name of `cowtrace policy list`, or a "
			  "kernel release such as 5.10",
			  name);
}

static int find_field(const char *name, enum cowtrace_field *ret_field, struct ct_err *err)
{
	const char *near;

	for (unsigned int i = 0; i < COWTRACE_NR_FIELDS; i++) {
		if (strcmp(name, cowtrace_field_name(i)))
			continue;
		*ret_field = i;
		return 0;
	}
	near = ct_name_nearest(name, field_at, COWTRACE_NR_FIELDS);
	if (near)
		return ct_err_set(err, -EINVAL, "no input is called \"%s\": did you mean \"%s\"?",
				  name, near);
	return ct_err_set(err, -EINVAL, "no input is called \"%s\"", name);
}

static int parse_number(const char *text, uint32_t *ret, struct ct_err *err)
{
	uint32_t n = 0;
	const char *p = text;

	/* Nine digits: room is left for a huge page's worth more, which a split adds. */
	for (; *p >= '0' && *p <= '9' && p - text < 9; p++)
		n = n * 10 + (*p - '0');
	if (p == text || *p)
		return ct_err_set(err, -EINVAL, "\"%s\" is not a number below a billion", text);
	*ret = n;
	return 0;
}

static int parse_flag(const char *text, uint32_t *ret, struct ct_err *err)
{
	static const char *const words[] = { "no", "yes", "0", "1", "false", "true" };

	for (unsigned int i = 0; i < ct_array_size(words); i++) {
		if (strcmp(text, words[i]))
			continue;
		*ret = i & 1;
		return 0;
	}
	return ct_err_set(err, -EINVAL, "\"%s\" is neither yes nor no", text);
}

/* Where the write goes, and the bounds of its mapping: "addr=0x7f0000201000". */
static u64 *place(struct cowtrace_page_state *st, const char *name)
{
	if (!strcmp(name, "addr"))
		return &st->addr;
	if (!strcmp(name, "vma_start"))
		return &st->vma_start;
	return strcmp(name, "vma_end") ? NULL : &st->vma_end;
}

static int parse_place(const char *name, const char *value, u64 *ret, struct ct_err *err)
{
	char *end;

	if (!value || *value < '0' || *value > '9')
		return ct_err_set(err, -EINVAL, "%s wants an address: %s=0x7f0000200000", name,
				  name);
	*ret = strtoull(value, &end, 0);
	if (*end)
		return ct_err_set(err, -EINVAL, "\"%s\" is not an address", value);
	return 0;
}

/* One word: "swapcache", "!lru", "refcount=2", "locked=?". */
static int parse_word(char *word, struct cowtrace_page_state *st, uint32_t *named,
		      struct ct_err *err)
{
	char *value = strchr(word, '=');
	bool no = *word == '!';
	enum cowtrace_field field = 0;
	uint32_t n = !no;
	int rc;

	if (value)
		*value++ = '\0';
	if (place(st, word))
		return parse_place(word, value, place(st, word), err);
	rc = find_field(word + no, &field, err);
	if (rc)
		return rc;
	*named |= COWTRACE_BIT(field);
	if (value && !strcmp(value, "?")) {
		st->known &= ~COWTRACE_BIT(field);
		return 0;
	}
	if (cowtrace_field_is_flag(field))
		rc = value ? parse_flag(value, &n, err) : 0;
	else if (!value || no)
		rc = ct_err_set(err, -EINVAL, "%s wants a number: %s=1", word + no, word + no);
	else
		rc = parse_number(value, &n, err);
	if (!rc)
		cowtrace_page_state_set(st, field, n);
	return rc;
}

static bool yes(const struct cowtrace_page_state *st, uint32_t mask)
{
	return st->known & st->flags & mask;
}

static void fill_large(struct cowtrace_page_state *st, uint32_t named)
{
	uint32_t pages = 1U << ct_min(st->order, 18U);
	bool pmd = yes(st, F(PMD));

	if (!(named & F(ENTIRE_MAPCOUNT)))
		st->entire_mapcount = pmd ? st->mapcount : 0;
	if (!(named & F(LARGE_MAPCOUNT)))
		st->large_mapcount = st->mapcount * (pmd ? 1 : pages);
	if (!(named & F(OWN_MAPCOUNT)))
		st->own_mapcount = st->mapcount > 1 ? ct_min(st->large_mapcount, pmd ? 1 : pages)
						    : st->large_mapcount;
	if (!(named & F(MM_SHARED)) && (st->known & F(OWN_MAPCOUNT)) &&
	    st->large_mapcount > st->own_mapcount)
		st->flags |= F(MM_SHARED);
}

/* What was not named is made to fit what was. */
static void fill_in(struct cowtrace_page_state *st, uint32_t named)
{
	uint32_t refs, pages;

	if (!(named & F(ORDER)) && yes(st, F(PMD) | F(HUGETLB)))
		st->order = COWTRACE_HUGE_ORDER;
	pages = 1U << ct_min(st->order, 18U);
	if (!(named & F(LRU)) && yes(st, F(LRU_LOCAL)))
		st->flags &= ~F(LRU);
	if (!(named & F(SWAPCACHE)) && (st->swapcount || yes(st, F(WRITEBACK))))
		st->flags |= yes(st, F(FILE)) ? 0 : F(SWAPCACHE);
	if (!(named & F(MAX_MAPCOUNT)))
		st->max_mapcount = st->mapcount + st->swapcount;
	if (st->order && !yes(st, F(HUGETLB)))
		fill_large(st, named);
	if (named & F(REFCOUNT))
		return;
	refs = st->order && !yes(st, F(HUGETLB)) ? st->large_mapcount : st->mapcount;
	refs += yes(st, F(SWAPCACHE)) ? pages : 0;
	refs += (st->known & F(LRU)) && !(st->flags & F(LRU));
	refs += yes(st, F(PINNED)) ? (st->order ? 1 : PIN_BIAS) : 0;
	st->refcount = refs;
}

int ct_state_parse(const char *text, struct cowtrace_page_state *ret_st, struct ct_err *err)
{
	struct cowtrace_page_state st;
	const char *why = NULL;
	uint32_t named = 0;

	cowtrace_page_state_init(&st);
	while (*text) {
		char word[MAX_WORD];
		size_t len = strcspn(text, ", \t");
		int rc;

		if (len >= sizeof(word))
			return ct_err_set(err, -EINVAL, "no input has so long a name: %.40s...",
					  text);
		memcpy(word, text, len);
		word[len] = '\0';
		text += len + (text[len] != '\0');
		rc = len ? parse_word(word, &st, &named, err) : 0;
		if (rc)
			return rc;
	}
	if ((st.addr || st.vma_start) && !st.vma_end)
		return ct_err_set(err, -EINVAL,
				  "addr says something together with vma_start and vma_end only");
	fill_in(&st, named);
	if (cowtrace_page_state_check(&st, &why))
		return ct_err_set(err, -EINVAL, "no kernel can be in this state: %s", why);
	*ret_st = st;
	return 0;
}
