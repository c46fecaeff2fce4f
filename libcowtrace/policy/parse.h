/* SPDX-License-Identifier: MIT */
/*
 * Page states and names as text, for the command line and for tests.
 */
#ifndef CT_POLICY_PARSE_H
#define CT_POLICY_PARSE_H

#include <cowtrace/policy.h>

#include "base/err.h"

/*
 * ct_state_parse - "mapcount=1,refcount=2,swapcache,!lru,locked=?"
 * @text: fields apart by commas or blanks: `name` and `!name` for yes and no,
 *        `name=N` for numbers, `name=?` for what is not known
 *
 * What is not named is as in an ordinary page; counts that are not named are made
 * to fit the ones that are.  Returns 0, or -EINVAL with a sentence: a name that
 * nothing has, a value that is none, or an impossible state.
 */
int ct_state_parse(const char *text, struct cowtrace_page_state *ret_st, struct ct_err *err);

/* The model of a name or release; else -EINVAL and a sentence with the nearest. */
int ct_model_parse(const char *name, enum cowtrace_model_id *ret_id, struct ct_err *err);

/* Of @nr names (NULLs are skipped) the one closest to @word; NULL: none is close. */
const char *ct_name_nearest(const char *word, const char *(*name_at)(unsigned int i),
			    unsigned int nr);

#endif
