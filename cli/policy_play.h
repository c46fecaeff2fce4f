/* SPDX-License-Identifier: MIT */
/* `cowtrace policy play`: a scenario's steps as a table or as JSON. */
#ifndef CT_CLI_POLICY_PLAY_H
#define CT_CLI_POLICY_PLAY_H

#include <cowtrace/policy.h>

#include "base/base.h"

/* `path` "-" is stdin; models are those of `nr` ids.  Returns an exit status. */
int ct_policy_play(const char *path, const enum cowtrace_model_id *models, size_t nr, bool json);

#endif
