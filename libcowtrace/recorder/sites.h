/* SPDX-License-Identifier: MIT */
/* Call sites: stacks of (module, offset), each told to the store once. */
#ifndef CT_RECORDER_SITES_H
#define CT_RECORDER_SITES_H

#include "recorder/modules.h"

/* Stacks of generated code differ for ever: beyond these, none are kept. */
#define CT_SITES_MAX (1u << 16)

struct ct_sites;

/* modules: of the sites' frames. */
struct ct_sites *ct_sites_create(struct ct_outbox *out, struct ct_modules *modules);
void ct_sites_destroy(struct ct_sites *s);

/* The id of the stack pcs[0..nr), leaf first; 0 for an empty one, or beyond CT_SITES_MAX. */
u32 ct_sites_id(struct ct_sites *s, const struct ct_modmap *map, const u64 *pcs, u32 nr);

/* The trace goes on in another file, which has to be told of sites anew ... */
void ct_sites_next_file(struct ct_sites *s);
/* ... when something there names them; what ct_sites_id() gives it has.  0 is fine. */
void ct_sites_need(struct ct_sites *s, u32 id);

/* Module id of the leaf frame of a site. */
u32 ct_sites_leaf_module(const struct ct_sites *s, u32 id);

#endif
