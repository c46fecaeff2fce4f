/* SPDX-License-Identifier: MIT */
/*
 * From an evaluation to a verdict: certainty, and what follows a split.
 * Knows no rule; the generations' files do.
 *
 * Invariant: a verdict other than UNCERTAIN holds whatever the unknown inputs
 * turn out to be.
 */
#include <errno.h>

#include "policy/rules.h"

/* Inputs that choose the rule rather than stand in one. */
#define CHOOSES_RULE                                                             \
	(COWTRACE_BIT(COWTRACE_FIELD_ORDER) | COWTRACE_BIT(COWTRACE_FIELD_PMD) | \
	 COWTRACE_BIT(COWTRACE_FIELD_HUGETLB))

static void conclude(const struct ct_eval *ev, struct cowtrace_verdict *v)
{
	u32 others = ev->may_actions & ~(1U << ev->action);
	u32 first = UINT32_MAX;

	*v = (struct cowtrace_verdict){
		.action = ev->action,
		.reason = ev->reason,
		.then = COWTRACE_NR_ACTIONS,
		.decides = COWTRACE_NR_FIELDS,
		.likely = ev->action,
		.likely_reason = ev->reason,
	};
	if (ct_likely(!others))
		return;
	for (; others; others &= others - 1)
		first = ct_min(first, ev->may_fields[__builtin_ctz(others)]);
	v->action = COWTRACE_UNCERTAIN;
	v->decides = first & 0xff;
}

/* The page as it is once its PMD entry has become 512 PTEs. */
static void after_split(const struct cowtrace_page_state *st, struct cowtrace_page_state *ret)
{
	*ret = *st;
	ret->flags &= ~COWTRACE_BIT(COWTRACE_FIELD_PMD);
	ret->known |= COWTRACE_BIT(COWTRACE_FIELD_PMD);
	if (ret->entire_mapcount)
		ret->entire_mapcount--;
	ret->large_mapcount += COWTRACE_HUGE_PAGES - 1;
	ret->own_mapcount += COWTRACE_HUGE_PAGES - 1;
	ret->refcount += COWTRACE_HUGE_PAGES - 1;
}

static void judge_then(const struct ct_rules *rules, const struct cowtrace_page_state *st,
		       struct cowtrace_verdict *v)
{
	struct cowtrace_page_state split;
	struct cowtrace_verdict then;
	struct ct_eval ev;

	after_split(st, &split);
	ct_eval_init(&ev, &split, NULL);
	ct_front_small(&ev, rules);
	conclude(&ev, &then);
	v->then = then.action;
	v->then_reason = then.reason;
}

static void judge(const struct ct_rules *rules, const struct cowtrace_page_state *st,
		  struct cowtrace_step *steps, size_t *ret_nr_steps, struct cowtrace_verdict *v)
{
	struct ct_eval ev;

	ct_eval_init(&ev, st, steps);
	ct_front_judge(&ev, rules);
	conclude(&ev, v);
	if (v->likely == COWTRACE_SPLIT)
		judge_then(rules, st, v);
	if (ret_nr_steps)
		*ret_nr_steps = ev.nr_steps;
}

/* What if @field were @value?  Another action makes the verdict depend on it. */
static void judge_if(const struct ct_rules *rules, const struct cowtrace_page_state *st,
		     enum cowtrace_field field, u32 value, struct cowtrace_verdict *v)
{
	struct cowtrace_page_state what_if = *st;
	struct cowtrace_verdict other;

	cowtrace_page_state_set(&what_if, field, value);
	if (v->action == COWTRACE_UNCERTAIN || cowtrace_page_state_check(&what_if, NULL))
		return;
	judge(rules, &what_if, NULL, NULL, &other);
	if (other.action == v->action)
		return;
	v->action = COWTRACE_UNCERTAIN;
	v->decides = field;
}

/* Each rule that may apply is asked. */
static void judge_all(const struct ct_rules *rules, const struct cowtrace_page_state *st,
		      struct cowtrace_verdict *v)
{
	if (!(st->known & COWTRACE_BIT(COWTRACE_FIELD_PMD)))
		judge_if(rules, st, COWTRACE_FIELD_PMD, 1, v);
	if (!(st->known & COWTRACE_BIT(COWTRACE_FIELD_HUGETLB)))
		judge_if(rules, st, COWTRACE_FIELD_HUGETLB, 1, v);
	if (st->known & COWTRACE_BIT(COWTRACE_FIELD_ORDER))
		return;
	judge_if(rules, st, COWTRACE_FIELD_ORDER, 2, v);
	judge_if(rules, st, COWTRACE_FIELD_ORDER, COWTRACE_HUGE_ORDER, v);
}

ct_public int cowtrace_policy_explain(enum cowtrace_model_id model,
				      const struct cowtrace_page_state *st,
				      struct cowtrace_step *steps, size_t *ret_nr_steps,
				      struct cowtrace_verdict *ret_verdict)
{
	const struct ct_rules *rules = ct_rules_get(model);

	if (!rules || cowtrace_page_state_check(st, NULL))
		return -EINVAL;
	judge(rules, st, steps, ret_nr_steps, ret_verdict);
	if (ct_unlikely(~st->known & CHOOSES_RULE))
		judge_all(rules, st, ret_verdict);
	return 0;
}

ct_public int cowtrace_policy_judge(enum cowtrace_model_id model,
				    const struct cowtrace_page_state *st,
				    struct cowtrace_verdict *ret_verdict)
{
	return cowtrace_policy_explain(model, st, NULL, NULL, ret_verdict);
}
